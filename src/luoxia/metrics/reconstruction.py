"""How near reconstructions are to what they were made of, and what simple codecs reach with as many bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.metrics.neighbors import nearest

Array = NDArray[Any]
Floats = NDArray[np.float64]
MOST_BITS = 8
"""Bits of a component at most."""


def psnr(made: Array, real: Array, peak: float = 255.0) -> Floats:
    """10 log₁₀(peak² / mean (made − real)²) of each row (n, …) → decibels (n,); 100 at most."""
    error = np.square(made.astype(np.float32) - real.astype(np.float32)).reshape(len(real), -1)
    mean = error.mean(1, dtype=np.float64)
    found: Floats = 10 * np.log10(peak**2 / np.maximum(mean, peak**2 * 1e-10))
    return found


def nearest_rows(train: Array, x: Array) -> Array:
    """For each row of x (n, d) the row of ``train`` (m, d) with the least squared error → (n, d)."""
    rows = nearest(x.astype(np.float32), train.astype(np.float32))[1][:, 0]
    return train[rows]


class PrincipalCodec:
    """Principal components, rounded: what a linear code reaches with so many ``bits`` a row.

    Each bit goes to the component whose variance is still largest; each component's levels are the means of the
    training values that fall to them (Lloyd 1982), so that the code is a fair one.
    """

    def __init__(self, train: Array, bits: int) -> None:
        x = train.reshape(len(train), -1).astype(np.float32)
        self.mean = x.mean(0)
        self.shape = train.shape[1:]
        x = x - self.mean
        gram = (x @ x.T).astype(np.float64) if len(x) < x.shape[1] else (x.T @ x).astype(np.float64)
        values, vectors = np.linalg.eigh(gram)
        keep = np.argsort(values)[::-1][: min(bits, len(values))]
        values, vectors = np.maximum(values[keep], 1e-9), vectors[:, keep]
        if len(x) < x.shape[1]:
            vectors = x.T @ (vectors / np.sqrt(values)).astype(np.float32)
        allotted = allot(values, bits)
        used = allotted > 0
        self.basis = vectors[:, used].astype(np.float32)  # (d, k)
        scores = x @ self.basis
        self.levels = [lloyd(scores[:, i], 1 << int(b)) for i, b in enumerate(allotted[used])]

    def __call__(self, rows: Array) -> Array:
        """Rows (n, …) → what is left of them, float32."""
        scores = (rows.reshape(len(rows), -1).astype(np.float32) - self.mean) @ self.basis
        for i, levels in enumerate(self.levels):
            cuts = (levels[1:] + levels[:-1]) / 2
            scores[:, i] = levels[np.searchsorted(cuts, scores[:, i])]
        images: Array = (scores @ self.basis.T + self.mean).reshape(len(rows), *self.shape)
        return images


def allot(variances: Floats, bits: int) -> NDArray[np.int64]:
    """One bit after the other to the largest variance (n,), which it quarters → bits (n,)."""
    left, given = variances.astype(np.float64).copy(), np.zeros(len(variances), np.int64)
    for _ in range(bits):
        best = int(left.argmax())
        given[best] += 1
        left[best] = left[best] / 4 if given[best] < MOST_BITS else 0.0
    return given


def lloyd(values: Array, levels: int, rounds: int = 30) -> Floats:
    """The ``levels`` that are nearest to values (n,) on average, ascending; from equal shares of the values on."""
    found: Floats = np.quantile(values, (np.arange(levels) + 0.5) / levels).astype(np.float64)
    for _ in range(rounds):
        own = np.searchsorted((found[1:] + found[:-1]) / 2, values)
        many = np.bincount(own, minlength=levels)
        sums = np.bincount(own, values, minlength=levels)
        found = np.sort(np.where(many > 0, sums / np.maximum(many, 1), found))
    return found


def bits_of(positions: int, vocabulary: int) -> int:
    """Whole bits that so many tokens hold together: ⌊positions · log₂ vocabulary⌋."""
    return math.floor(positions * math.log2(vocabulary)) if vocabulary > 1 else 0
