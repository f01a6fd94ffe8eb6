"""Bits of tokens under histograms: what a model that predicts them must be better than."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[Any]
PRIORS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Weights of the histogram of all places within that of one, in tokens; the best for the held-out ones is taken."""


def histogram_bits(train: Tokens, heldout: Tokens, vocabulary: int) -> float:
    """Mean bits a held-out row by the frequencies of tokens in training, one of each added.

    Rows (n, places, codebooks); each codebook has frequencies of its own.
    """
    return float(
        sum(-np.log2(_shares(train, vocabulary)[b])[heldout[..., b]].sum(1).mean() for b in _books(train))
    )


def placewise_bits(train: Tokens, heldout: Tokens, vocabulary: int) -> float:
    """The same by frequencies at each place, mixed with those of all places by the best of several weights."""
    everywhere = _shares(train, vocabulary)
    places = np.arange(train.shape[1])
    best = 0.0
    for book in _books(train):
        counts = np.stack([np.bincount(train[:, place, book], minlength=vocabulary) for place in places])
        bits = []
        for weight in PRIORS:
            mixed = (counts + weight * everywhere[book]) / (len(train) + weight)
            bits.append(-np.log2(mixed)[places, heldout[..., book]].sum(1).mean())
        best += float(min(bits))
    return best


def _books(tokens: Tokens) -> range:
    return range(tokens.shape[2])


def _shares(tokens: Tokens, vocabulary: int) -> list[NDArray[np.float64]]:
    """The share of each token in each codebook."""
    counts = [
        np.bincount(tokens[..., book].reshape(-1), minlength=vocabulary) + 1.0 for book in _books(tokens)
    ]
    return [count / count.sum() for count in counts]
