"""What a recipe may know of text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TextSpec:
    """Tokens in the vocabulary; classes of labeled text, 0 without labels; the form of a network to go on from."""

    vocabulary: int
    classes: int = 0
    shape: Mapping[str, Any] | None = None  # None: the recipe's own
