"""What a recipe may know of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextSpec:
    """Tokens in the vocabulary; classes of labelled text, 0 without labels."""

    vocabulary: int
    classes: int = 0
