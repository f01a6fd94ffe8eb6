"""Saying what would be read from a path."""

from __future__ import annotations

from typing import Any

from luoxia import registry
from luoxia.verbs.request import using


def describe(path: str | None = None, /, **settings: Any) -> dict[str, Any]:
    """What there is at ``path``, by the first medium that reads it; ``settings`` are its keys."""
    settings = using(settings)
    medium = next(medium for medium in registry.media() if medium.accepts(path))
    return medium.describe(path, **settings)
