"""95% intervals by drawing again (bootstrap) and by leaving out (jackknife)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.metrics.intervals import Estimate

DRAWS = 1000
GROUPS = 20  # left out one at a time
CHUNK = 1 << 21  # indices held at once

Indices = NDArray[np.int64]


def bootstrap(
    statistic: Callable[[Indices], ArrayLike], n: int, *, draws: int = DRAWS, seed: int = 0
) -> Estimate:
    """Value of a statistic of n items with its percentile interval (Efron and Tibshirani 1993, chapter 13).

    ``statistic`` maps indices (r, n) to values (r,). Draws for which it is NaN are left out. Fewer than two
    items have no interval, and the interval always holds the value.
    """
    value = float(np.asarray(statistic(np.arange(n)[None]))[0])
    if n < 2:
        return Estimate(value, None, None)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // n)
    found = [
        np.asarray(statistic(rng.integers(n, size=(min(rows, draws - start), n))), np.float64)
        for start in range(0, draws, rows)
    ]
    return percentiles(value, np.concatenate(found))


def percentiles(value: float, drawn: ArrayLike) -> Estimate:
    """``value`` with the 2.5% and 97.5% quantiles of what was drawn (draws,), NaN left out."""
    values = np.asarray(drawn, np.float64)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return Estimate(value, None, None)
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def jackknife(statistic: Callable[[Indices], float], n: int, *, groups: int = GROUPS) -> Estimate:
    """Value of a statistic in 0…1 of n items with an interval from leaving out a group of them at a time.

    It serves where a bootstrap is biased because a repeated item changes the statistic: counts of distinct
    things, distances between histograms. Item i is in group i mod ``groups``; the interval is Student's, for
    the standard error of Efron and Stein (1981). Fewer than two items have no interval.
    """
    items = np.arange(n)
    value, groups = float(statistic(items)), min(groups, n)
    if groups < 2:
        return Estimate(value, None, None)
    from scipy.special import stdtrit

    left = np.array([statistic(items[items % groups != group]) for group in range(groups)])
    error = math.sqrt((groups - 1) / groups * float(((left - left.mean()) ** 2).sum()))
    half = float(stdtrit(groups - 1, 0.975)) * error
    return Estimate(value, min(value, max(0.0, value - half)), max(value, min(1.0, value + half)))
