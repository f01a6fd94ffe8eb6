"""What is wrong with a setting, in one sentence: its key, the value, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError


def nearest(word: str, known: Iterable[str]) -> str:
    """The known words that look like ``word``, as the end of a sentence; empty when none does."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


ELSEWHERE = {
    "batch_size": "batch", "learning_rate": "lr", "output": "out", "num_samples": "n", "dataset": "data",
    "max_steps": "steps", "num_steps": "steps",
}  # fmt: skip
"""What other toolkits call our keys."""


def sentence(model: type[BaseModel], error: ValidationError) -> str:
    """The first thing that is wrong, with its key."""
    first = error.errors()[0]
    location = [part for part in first["loc"] if isinstance(part, str) and not part.startswith("function-")]
    key = ".".join(location)
    given = first["input"]
    if first["type"] == "extra_forbidden" and location[1:] == ["name"]:
        return (
            f"{location[0]}={shown(given)}: {location[0]} has keys of its own; write {location[0]}.KEY=VALUE"
        )
    if first["type"] == "extra_forbidden":
        parent = _section(model, location[:-1])
        prefix = ".".join([*location[:-1], ""])
        known = [prefix + (field.alias or name) for name, field in parent.model_fields.items()]
        if ELSEWHERE.get(key) in known:
            return f"unknown key '{key}': write {ELSEWHERE[key]}={shown(given)}"
        return unknown_key(key, known)
    if not key:
        return _own_words(first, key)
    if first["type"] == "missing":
        return f"{key}= {_own_words(first, key)}"
    if isinstance(given, Mapping) and given and _section(model, location) is model:
        return f"unknown key '{key}.{list(given)[-1]}': {key} is one value and has no keys"
    return f"{key}={shown(given)}: {_own_words(first, key)}"


def unknown_key(key: str, known: Sequence[str]) -> str:
    """The sentence for a key that is not known, with those that look like it."""
    return f"unknown key '{key}'{nearest(key, known) or '; known are ' + ', '.join(known)}"


def _own_words(first: Any, key: str) -> str:
    context = {**(first.get("ctx") or {}), "section": key}
    context |= {name: f"{bound:g}" for name, bound in context.items() if isinstance(bound, float)}
    context["expected"] = expected = str(context.get("expected")).replace("'", "")
    context["choices"] = f"one of {expected}" if " or " in expected else expected
    kinds = {
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "bool_parsing": "must be true or false",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be {ge} or more",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be {le} or less",
        "literal_error": "must be {choices}",
        "missing": "is missing: give it a value",
        "too_short": "must be {min_length} or more values, joined by commas",
        "too_long": "must be {max_length} values at most, joined by commas",
        "tuple_type": "must be values joined by commas",
        "string_type": "must be text, such as a name or a path",
        "bool_type": "must be true or false",
        "int_parsing_size": "must be a smaller number",
        "model_type": "{section} has keys of its own; write {section}.KEY=VALUE",
    }
    template = kinds.get(first["type"])
    if template is None:
        message: str = first["msg"]
        return message.removeprefix("Value error, ")
    return template.format(**context)


def shown(value: Any) -> str:
    """A value in a sentence: in one line, and not too long."""
    if getattr(value, "shape", ()) != () and hasattr(value, "dtype"):
        return f"an array of {value.dtype} {tuple(value.shape)}"
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"{Decimal(value).normalize():.3g}".replace("e+", "e")
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"


def _section(model: type[BaseModel], location: list[str]) -> type[BaseModel]:
    for name in location:
        if name not in model.model_fields:
            break
        for candidate in types_of(model.model_fields[name].annotation):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
    return model


def types_of(annotation: Any) -> list[Any]:
    """The types and the literal values that an annotation is made of."""
    return (
        [a for arg in get_args(annotation) for a in types_of(arg)] if get_origin(annotation) else [annotation]
    )
