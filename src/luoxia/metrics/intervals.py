"""95% intervals of means and of shares."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054  # the 97.5% quantile of the standard normal distribution


class Estimate(NamedTuple):
    """A value with the bounds of its 95% interval (None where it has none)."""

    value: float
    low: float | None
    high: float | None


def mean(values: ArrayLike) -> Estimate:
    """Mean of ``values`` (n,) ± 1.96 standard errors; no interval for fewer than two."""
    array = np.asarray(values, np.float64)
    center = float(array.mean())
    if len(array) < 2:
        return Estimate(center, None, None)
    half = Z95 * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Estimate(center, center - half, center + half)


def share(flags: ArrayLike) -> Estimate:
    """Share of true ``flags`` (n,) with Wilson's interval (1927), which holds near 0 and 1."""
    array = np.asarray(flags, bool)
    n, p = len(array), float(array.mean())
    center = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n))
    return Estimate(p, min(p, max(0.0, center - half)), max(p, min(1.0, center + half)))
