"""Nested settings: laid over each other, flattened to dotted keys and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from luoxia.core.sentences import types_of


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` → ``{"a": {"b": 1}}``, within values too."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        value = nest(value) if isinstance(value, Mapping) else value
        for section in reversed(key.split(".")):
            value = {section: value}
        nested = merge(nested, value)
    return nested


def merge(settings: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``new`` laid over ``settings``, section by section; neither is changed.

    A section may be given by its name alone: ``{"optimizer": "sgd"}`` is ``{"optimizer": {"name": "sgd"}}``. A section
    that is a ``Config`` is complete, and replaces all of an older one.
    """
    merged = dict(settings)
    for key, value in new.items():
        if isinstance(value, Mapping):
            merged[key] = merge(_as_section(merged[key]), value) if key in merged else dict(value)
        elif isinstance(value, str) and isinstance(merged.get(key), Mapping | BaseModel):
            merged[key] = merge(_as_section(merged[key]), {"name": value})
        else:
            merged[key] = value
    return merged


def _as_section(value: Any) -> Mapping[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return value if isinstance(value, Mapping) else {"name": value}


def meanings(model: type[BaseModel], prefix: str = "") -> dict[str, str]:
    """Dotted keys → descriptions, in the order of ``flatten``; choices that a description leaves out are added."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            found |= meanings(type(field.default), f"{prefix}{name}.")
            continue
        text = field.description or ""
        choices = [c for c in types_of(field.annotation) if isinstance(c, str)]
        if not all(choice in text for choice in choices):
            text += f" ({', '.join(choices)})"
        found[prefix + (field.alias or name)] = text
    return found


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings → dotted keys, in order."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def given_keys(config: BaseModel, prefix: str = "") -> set[str]:
    """The dotted keys that were set, and not left at their defaults."""
    keys: set[str] = set()
    for name in config.model_fields_set:
        value = getattr(config, name)
        keys |= given_keys(value, f"{prefix}{name}.") if isinstance(value, BaseModel) else {prefix + name}
    return keys
