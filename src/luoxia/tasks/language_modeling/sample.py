"""Sampling, as a verb: text that is printed as it is written, or goes to a file with its label."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

from luoxia.provenance.label import Label
from luoxia.tasks.language_modeling.settings import DECODING, TextSettings
from luoxia.tasks.outputs import Pieces, Texts, claimed
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.fields import sort_fields


def sample(record: ModelRecord, /, **settings: Any) -> Path | Pieces | Texts:
    """Write texts and return where; without ``out``, one text comes in pieces as it is written, several as a list.

    ``settings`` are those of ``TextSettings``, and the fields of the model's condition.
    """
    condition, others = sort_fields(settings, _fields(record), TextSettings)
    chosen: TextSettings = TextSettings.from_settings(others)
    from luoxia.media.text.chat import read_messages

    read = [Path(path) for path in (chosen.readings, chosen.schema_, chosen.grammar) if path is not None]
    messages = None if chosen.messages is None else read_messages(chosen.messages)
    out = claimed(record, chosen.out, (".txt", ".md", ".jsonl"), chosen.overwrite, *read)
    from luoxia.decoding.loop import Decoding

    generator = _load(record, chosen)
    rule = generator.rule(
        poem=chosen.poem, readings=chosen.readings, schema=chosen.schema_, grammar=chosen.grammar
    )
    request = {"prompt": chosen.prompt, "messages": messages, "condition": condition}
    how = {"constraint": rule, "decoding": Decoding(**{name: getattr(chosen, name) for name in DECODING})}
    stated = {key: value for key, value in request.items() if value or key == "prompt"}
    make_label = partial(_label, generator, record, chosen, stated, read)
    if out is None and chosen.n == 1:
        pieces = generator.stream(seed=chosen.seed, **request, **how)
        first = next(pieces, "")  # what is wrong with the prompt is said before anything is written
        return Pieces(itertools.chain([chosen.prompt + first], pieces), make_label)
    texts = generator.sample(chosen.n, chosen.seed, **request, **how)
    whole = [chosen.prompt + text for text in texts]
    if out is None:
        return Texts(whole, make_label)
    from luoxia.formats import jsonl, md, txt

    if out.suffix.lower() == ".jsonl":
        return jsonl.write(({"text": text, **stated} for text in texts), make_label(), out)
    content = "\n\n".join(whole) + "\n"
    if out.suffix.lower() == ".md":
        return md.write(content, make_label(), out)
    return txt.write(content, make_label(), out, inline=chosen.label_inline == "end")


def _load(record: ModelRecord, chosen: TextSettings) -> Any:
    from luoxia.tasks.loading import load_model

    precise = {
        "dtype": "bfloat16" if chosen.precision == "bf16" else None,
        "quantize": "int8" if chosen.int8 else None,
    }
    return load_model(record, ema=chosen.ema, device=chosen.device, adapter=chosen.adapter, **precise)


def _label(
    generator: Any, record: ModelRecord, chosen: TextSettings, stated: dict[str, Any], read: list[Path]
) -> Label:
    """The label of texts: what was ``stated``, how it was asked for, the files that were ``read``."""
    from luoxia.tasks.labeling import label_of, parent

    own = chosen.model_dump(exclude_defaults=True, include={*DECODING, "poem", "ema", "precision", "int8"})
    parents = [one for path in read for one in parent(path)]
    label = label_of(generator, record, ema=chosen.ema)
    return label.asked({**stated, "n": chosen.n, **own}, seed=chosen.seed, parents=parents)


def _fields(record: ModelRecord) -> tuple[str, ...]:
    """The fields that the model's texts are learned by; () without."""
    config = record.config.get("config")
    names = config.get("condition") if isinstance(config, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()
