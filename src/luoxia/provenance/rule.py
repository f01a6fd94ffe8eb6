"""How a label of Luoxia's is known: the dictionary that generated files carry, or a row of JSON lines."""

from __future__ import annotations

import re
from typing import Any

from luoxia import __version__

GENERATOR = f"Luoxia {__version__}"
"""What every label names as its ``generator``."""

_DATA = re.compile("[0-9a-f]{32}")


def is_label(value: Any) -> bool:
    """Whether ``value`` says that Luoxia generated something.

    Labels of before they had a ``generator`` are known by all that they held, with its types: some of those words
    are in the rows of many people.
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
        and _DATA.fullmatch(data) is not None
    )


def _names_folder(value: dict[Any, Any]) -> bool:
    """A text of another toolkit's model: the model's class and folder, and how the text was made."""
    return _holds(value, str, "architecture", "folder", "text", "prompt") and _holds(
        value, int, "seed", "index"
    )


def _holds(value: dict[Any, Any], kind: type, *keys: str) -> bool:
    return all(type(value.get(key)) is kind for key in keys)
