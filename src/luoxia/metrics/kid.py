"""Kernel distance: squared MMD with a cubic kernel (Bińkowski et al. 2018, arXiv:1801.01401)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.intervals import Z95, Estimate

SUBSET = 1000  # samples a subset, the paper's


def polynomial_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """k(x, y) = (x·y / d + 1)³ for x (n, d) and y (m, d) → (n, m) (section 3.1)."""
    kernel: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def mmd2(fake: ArrayLike, real: ArrayLike) -> float:
    """Unbiased squared maximum mean discrepancy of features (n, d) and (m, d), n and m ≥ 2 (eq. 4).

    It may be negative; its mean over equal distributions is zero.
    """
    x, y = np.asarray(fake, np.float64), np.asarray(real, np.float64)
    n, m = len(x), len(y)
    xx, yy = polynomial_kernel(x, x), polynomial_kernel(y, y)
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * polynomial_kernel(x, y).mean())


def kernel_distance(fake: ArrayLike, real: ArrayLike, *, subsets: int = 20, seed: int = 0) -> Estimate:
    """Mean of ``mmd2`` over random subsets, with a 95% interval.

    A subset holds 1,000 samples of each side, or half of the smaller side. The variance of a subset's
    value, scaled by subset size over n, estimates the variance of the mean. Fewer than two samples
    raise LuoxiaError; fewer than four give no interval.
    """
    x, y = np.asarray(fake, np.float64), np.asarray(real, np.float64)
    n = min(len(x), len(y))
    if n < 2:
        raise LuoxiaError(f"a kernel distance needs two samples or more on each side, not {n}: generate more")
    if n < 4:
        return Estimate(mmd2(x, y), None, None)
    size = min(SUBSET, n // 2)
    rng = np.random.default_rng(seed)
    draws = np.array(
        [
            mmd2(x[rng.choice(len(x), size, replace=False)], y[rng.choice(len(y), size, replace=False)])
            for _ in range(subsets)
        ]
    )
    value, spread = float(draws.mean()), Z95 * float(draws.std(ddof=1)) * math.sqrt(size / n)
    return Estimate(value, value - spread, value + spread)
