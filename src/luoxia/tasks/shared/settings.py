"""Keys that verbs of several tasks share."""

from __future__ import annotations

from typing import Any

from pydantic import BeforeValidator, Field

USE = Field(None, description="the file of the recipe, FILE.py, where that is one of your own")
INLINE: Any = Field(
    "none", alias="label.inline", description="end: the label is also the last line of a text file"
)


def _class_name(value: Any) -> Any:
    if value == "":
        raise ValueError("is empty: give a class, by name or number")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ClassName = BeforeValidator(_class_name)
"""A class by name or number. The word none unsets it only where no class has that name, which the model knows."""
