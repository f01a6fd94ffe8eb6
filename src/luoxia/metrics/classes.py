"""What a classifier sees in the samples: which classes, how many, how surely."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.metrics.intervals import Estimate

COVERED = 0.01  # share of the samples from which a class counts as covered
CONFIDENT = 0.9  # probability from which the classifier counts as sure


def histogram(labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count integer labels (n,) → (classes,)."""
    counts: NDArray[np.int64] = np.bincount(np.asarray(labels, np.int64), minlength=classes)
    return counts


def covered(counts: ArrayLike, at_least: float = COVERED) -> int:
    """Number of classes that hold a sample and ``at_least`` this share of all; counts (classes,)."""
    array = np.asarray(counts, np.float64)
    return int(((array > 0) & (array >= at_least * array.sum())).sum())


def divergence(fake: ArrayLike, real: ArrayLike) -> float:
    """Relative entropy KL(fake ‖ real) of two histograms (classes,), in nats; 0 when the shares agree.

    One count is added to each real class, so that a class the real set lacks costs much and not infinity.
    """
    p = np.asarray(fake, np.float64) / np.sum(fake)
    q = (np.asarray(real, np.float64) + 1) / (np.sum(real) + np.size(real))
    seen = p > 0
    return max(0.0, float((p[seen] * np.log(p[seen] / q[seen])).sum()))


def divergence_interval(fake: ArrayLike, real: ArrayLike, *, draws: int = 200, seed: int = 0) -> Estimate:
    """``divergence`` with the 95% percentile interval of a multinomial bootstrap of the fake histogram."""
    counts = np.asarray(fake, np.int64)
    resampled = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=draws)
    low, high = np.quantile([divergence(row, real) for row in resampled], [0.025, 0.975])
    value = divergence(counts, real)
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def confidence(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Probability of the likeliest class, from probabilities (n, classes) → (n,)."""
    highest: NDArray[np.float64] = np.asarray(probabilities, np.float64).max(1)
    return highest
