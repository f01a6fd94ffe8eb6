"""How a book of codes is used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[Any]


def book_use(tokens: Tokens, vocabulary: int) -> float:
    """The share of the codes that occur."""
    return len(np.unique(tokens)) / vocabulary


def uniform_use(count: int, vocabulary: int) -> float:
    """The share of the codes that occur, on average, among ``count`` uniform draws."""
    return -float(np.expm1(count * np.log1p(-1 / vocabulary)))


def perplexity(tokens: Tokens, vocabulary: int) -> float:
    """exp of the entropy of the tokens' frequencies: so many codes, equally used, would be as varied."""
    counts = np.bincount(tokens.reshape(-1), minlength=vocabulary)
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def uniform_perplexity(count: int, vocabulary: int, seed: int) -> float:
    """``perplexity`` of ``count`` uniform draws: what it can be of so few tokens."""
    return perplexity(np.random.default_rng(seed).integers(vocabulary, size=count), vocabulary)
