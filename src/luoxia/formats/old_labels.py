"""Labels written before there was one record: flat JSON objects, in rows of JSON lines mixed with the content."""

from __future__ import annotations

import re
from typing import Any

_FINGERPRINT = re.compile("[0-9a-f]{32}")


def is_old_label(value: Any) -> bool:
    """Whether a JSON object says that Luoxia generated something.

    Labels from before they had a ``generator`` are recognized by all their fields, with their types: some of those
    words are in the rows of many people.
    """
    if not isinstance(value, dict):
        return False
    generator = value.get("generator")
    if isinstance(generator, str):
        return generator.startswith("Luoxia ")
    return _names_run(value) or _names_folder(value)


def _names_run(value: dict[Any, Any]) -> bool:
    """Of a model of ours: recipe, run, step, fingerprint of the data."""
    data = value.get("data")
    return (
        _holds(value, str, "recipe", "run")
        and _holds(value, int, "step")
        and isinstance(data, str)
        and _FINGERPRINT.fullmatch(data) is not None
    )


def _names_folder(value: dict[Any, Any]) -> bool:
    """A text of another toolkit's model: the model's class and folder, and how the text was made."""
    return _holds(value, str, "architecture", "folder", "text", "prompt") and _holds(
        value, int, "seed", "index"
    )


def _holds(value: dict[Any, Any], kind: type, *keys: str) -> bool:
    return all(type(value.get(key)) is kind for key in keys)


_FIELDS: dict[str, tuple[type, str]] = {
    "recipe": (str, "recipe"), "architecture": (str, "recipe"), "run": (str, "run"), "folder": (str, "run"),
    "step": (int, "step"), "data": (str, "data"), "seed": (int, "seed"), "index": (int, "index"),
    "sha256": (str, "sha256"),
}  # fmt: skip
"""Old key → (its type, the field that it became)."""
_PARENTS = ("of", "image", "latents")
_CONTENT = ("text", "probability", "probabilities")
"""What rows of JSON lines hold beside their label; ``label`` is the class in rows of ``classify``."""


def updated(value: dict[str, Any]) -> dict[str, Any]:
    """An old label in the layout of ``Label.as_dict``: keys that became no field are controls."""
    system, _, version = str(value.get("generator", "Luoxia")).partition(" ")
    fields: dict[str, Any] = {"system": system, "version": version}
    content = {*_CONTENT, *(("label",) if "probabilities" in value else ())}
    controls = {}
    for key, inner in value.items():
        kind, name = _FIELDS.get(key, (None, ""))
        if type(inner) is kind:
            fields[name] = inner
        elif key not in ("generator", *_PARENTS, *content):
            controls[key] = inner
    names = [name for key in _PARENTS for name in _listed(value.get(key)) if isinstance(name, str)]
    if "of" in value and "index" not in fields:  # a translated file, which is a sample
        fields["index"] = 0
    return {**fields, "controls": controls, "parents": [{"name": name} for name in names]}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
