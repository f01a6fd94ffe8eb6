"""Names of before: keys and words that are read until 1.0 under the names that they have now."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from luoxia.core.errors import OldNameWarning


def table_of(kind: type, table: str) -> dict[str, Any]:
    """A class's table of old names, with those of the classes that it is made of."""
    return {old: new for base in reversed(kind.__mro__) for old, new in base.__dict__.get(table, {}).items()}


def words_in(value: Any) -> set[str]:
    """The words of a value: of text joined by commas, or of a list."""
    parts = value.split(",") if isinstance(value, str) else value
    return {part for part in parts if isinstance(part, str)} if isinstance(parts, list | tuple) else set()


def reworded(value: Any, words: Mapping[str, str]) -> Any:
    """The value with each old word replaced."""
    if isinstance(value, str):
        return ",".join(words.get(part, part) for part in value.split(","))
    return tuple(words.get(part, part) for part in value) if isinstance(value, list | tuple) else value


def warn_of_old_name(sentence: str) -> None:
    """The one line that a person reads who uses a name of before."""
    warnings.warn(sentence, OldNameWarning, stacklevel=2)
