"""Sampling, as a verb: images of what is asked for, written with their label as they are made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from luoxia.core.errors import LuoxiaError
from luoxia.tasks.image_synthesis.settings import DRAWING, RequestSettings, SynthesisSampleSettings
from luoxia.tasks.image_synthesis.spec import ConditionSpec
from luoxia.tasks.outputs import claimed, numbered
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.fields import sort_fields


def sample(record: ModelRecord, /, **settings: Any) -> Path:
    """Write samples and return where; ``settings`` are those of ``SynthesisSampleSettings``, and the model's fields."""
    spec = spec_in(record)
    fields, others = sort_fields(settings, spec.field_names, SynthesisSampleSettings)
    chosen: SynthesisSampleSettings = SynthesisSampleSettings.from_settings(others)
    check_request(spec, chosen, fields)
    if chosen.out is None:
        out = numbered(record, ".png")
    else:
        out = claimed(record, chosen.out, (".png", ".npz", ""), chosen.overwrite)
    from luoxia.formats.places import form_of
    from luoxia.media.image import writer
    from luoxia.tasks.labeling import label_of
    from luoxia.tasks.loading import load_model

    model = load_model(record, ema=chosen.ema, device=chosen.device)
    wanted = wanted_of(chosen, fields)
    label = label_of(model, record, ema=chosen.ema).asked(
        {**wanted, "n": chosen.n, "ema": chosen.ema}, seed=chosen.seed
    )
    kind = form_of(out, chosen.out or "")
    if kind == ".png":
        writer.check_grid(chosen.n, model.shape, chosen.columns)
    images = model.stream(chosen.n, chosen.seed, **wanted)
    if kind == ".png":
        return writer.write_grid(out, images, label, chosen.columns, chosen.n)
    if kind == ".npz":
        return writer.write_npz(out, images, model.labels(chosen.n, **wanted), label, chosen.n)
    return writer.write_folder(out, images, label)


def spec_in(record: ModelRecord) -> ConditionSpec:
    """What the model of a record can be asked for; torch is not imported for it."""
    try:
        spec: ConditionSpec = TypeAdapter(ConditionSpec).validate_python(record.config.get("condition"))
    except ValueError as error:
        raise LuoxiaError(f"{record.folder} holds no usable model: config.json is damaged") from error
    return spec


def check_request(spec: ConditionSpec, chosen: RequestSettings, fields: Mapping[str, Any]) -> None:
    """``UsageError`` for what the model lacks, before its weights are read; words that it lacks are named."""
    spec.check_text("text", chosen.text)
    spec.check_text("negative", chosen.negative)
    spec.class_of(chosen.label)
    spec.values_of(fields)
    if sentence := spec.warning([text for text in (chosen.text, chosen.negative) if text is not None]):
        from luoxia.runs.display import Display

        Display().tell(sentence)


def wanted_of(chosen: RequestSettings, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for, as keywords of the model's calls: what was left at its default is not among them."""
    own = chosen.model_dump(exclude_defaults=True, include={"text", "label", "negative", *DRAWING})
    return {**own, **fields}
