"""Sampling, as a verb: text that is printed as it is written, or goes to a file with its label."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luoxia.tasks.language_modeling.settings import DECODING, TextSettings
from luoxia.tasks.outputs import claimed
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.fields import sort_fields


def sample(record: ModelRecord, /, **settings: Any) -> Path | Iterator[str] | list[str]:
    """Write texts and return where; without ``out``, one text comes in pieces as it is written, several as a list.

    ``settings`` are those of ``TextSettings``, and the fields of the model's condition.
    """
    condition, others = sort_fields(settings, _fields(record), TextSettings)
    chosen: TextSettings = TextSettings.from_settings(others)
    from luoxia.media.text.chat import read_messages

    read = [
        None if path is None else Path(path) for path in (chosen.readings, chosen.schema_, chosen.grammar)
    ]
    messages = None if chosen.messages is None else read_messages(chosen.messages)
    out = (
        None
        if chosen.out is None
        else claimed(record, chosen.out, (".txt", ".md", ".jsonl"), chosen.overwrite, *read)
    )
    from luoxia.decoding.loop import Decoding
    from luoxia.formats import jsonl, md, txt
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.tasks.loading import load_model

    decoding = Decoding(**{name: getattr(chosen, name) for name in DECODING})
    precise = {
        "dtype": "bfloat16" if chosen.precision == "bf16" else None,
        "quantize": "int8" if chosen.int8 else None,
    }
    generator = load_model(record, ema=chosen.ema, device=chosen.device, adapter=chosen.adapter, **precise)
    rule = generator.rule(
        poem=chosen.poem, readings=chosen.readings, schema=chosen.schema_, grammar=chosen.grammar
    )
    asked = {
        "prompt": chosen.prompt,
        "messages": messages,
        "condition": condition,
        "constraint": rule,
        "decoding": decoding,
    }
    if out is None and chosen.n == 1:
        written = generator.stream(seed=chosen.seed, **asked)
        first = next(written, "")  # what is wrong with the prompt is said before anything is written
        return itertools.chain([chosen.prompt + first], written)
    texts = generator.sample(chosen.n, chosen.seed, **asked)
    whole = "\n\n".join(chosen.prompt + text for text in texts)
    if out is None:
        return [chosen.prompt + text for text in texts]
    request = {"prompt": chosen.prompt, "messages": messages, "condition": condition}
    request = {key: value for key, value in request.items() if value or key == "prompt"}
    own = chosen.model_dump(exclude_defaults=True, include={*DECODING, "poem", "ema", "precision", "int8"})
    parents = [one for path in read for one in parent(path)]
    label = label_of(generator, record, ema=chosen.ema)
    label = label.asked({**request, "n": chosen.n, **own}, seed=chosen.seed, parents=parents)
    if out.suffix.lower() == ".jsonl":
        return jsonl.write(({"text": text, **request} for text in texts), label, out)
    if out.suffix.lower() == ".md":
        return md.write(whole + "\n", label, out)
    return txt.write(whole + "\n", label, out, inline=chosen.label_inline == "end")


def _fields(record: ModelRecord) -> tuple[str, ...]:
    """The fields that the model's texts are learned by; () without."""
    config = record.config.get("config")
    names = config.get("condition") if isinstance(config, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()
