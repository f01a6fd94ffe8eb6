"""Fréchet distance between two sets of features (Heusel et al. 2017, arXiv:1706.08500, eq. 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.intervals import Z95, Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and unbiased covariance (d, d) of ``count`` features, in float64."""

    mean: Floats
    covariance: Floats
    count: int

    @classmethod
    def fit(cls, features: ArrayLike) -> Gaussian:
        """Fit ``features`` (n, d); fewer than two, or a value that is not finite, raises LuoxiaError."""
        x = np.asarray(features, np.float64)
        if x.ndim != 2 or len(x) < 2:
            raise LuoxiaError(f"a Fréchet distance needs two samples or more, not {len(x)}: generate more")
        if not np.isfinite(x).all():
            raise LuoxiaError("the features are not finite, so no score exists: check the samples for NaN")
        center = x.mean(0)
        x = x - center
        return cls(center, x.T @ x / (len(x) - 1), len(x))


def symmetric_sqrt(matrix: Floats) -> Floats:
    """Square root of a symmetric positive semi-definite (d, d) matrix; negative round-off counts as 0."""
    values, vectors = np.linalg.eigh(matrix)
    root: Floats = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def frechet_distance(a: Gaussian, b: Gaussian, *, root_b: Floats | None = None) -> float:
    """|μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½) (Dowson and Landau 1982, eq. 4).

    The trace of (Σ_a Σ_b)^½ is the sum of the roots of the eigenvalues of Σ_b^½ Σ_a Σ_b^½, which is
    symmetric: singular covariances are no special case, and nothing complex arises. ``root_b`` is Σ_b^½
    where it is known.
    """
    root = symmetric_sqrt(b.covariance) if root_b is None else root_b
    values = np.linalg.eigvalsh(root @ a.covariance @ root)
    cross = np.sqrt(np.clip(values, 0, None)).sum()
    shift = a.mean - b.mean
    distance = shift @ shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(0.0, float(distance))


def frechet_interval(features: ArrayLike, b: Gaussian, *, root_b: Floats | None = None) -> Estimate:
    """Fréchet distance of ``features`` (n, d) to ``b``, with a 95% interval over the draw of the features.

    The interval is the delta method's: a sample x moves the distance by its influence 2 (μ_a - μ_b)·y +
    yᵀ(I - T)y, y = x - μ_a, where T = Σ_b^½ (Σ_b^½ Σ_a Σ_b^½)^-½ Σ_b^½ is the optimal transport map
    from a to b. It is one decomposition, against hundreds for a bootstrap, and is not biased upwards as
    that is.
    """
    x = np.asarray(features, np.float64)
    a = Gaussian.fit(x)
    root = symmetric_sqrt(b.covariance) if root_b is None else root_b
    values, vectors = np.linalg.eigh(root @ a.covariance @ root)
    roots = np.sqrt(np.clip(values, 0, None))
    kept = roots > max(float(roots.max()), 1e-300) * 1e-7
    half_map = (root @ vectors[:, kept]) / np.sqrt(roots[kept])  # (d, rank), T = half_map half_mapᵀ
    y, shift = x - a.mean, a.mean - b.mean
    influence = 2 * y @ shift + (y * y).sum(1) - ((y @ half_map) ** 2).sum(1)
    spread = Z95 * float(influence.std(ddof=1)) / math.sqrt(len(x))
    trace = np.trace(a.covariance) + np.trace(b.covariance) - 2 * roots.sum()
    distance = max(0.0, float(shift @ shift + trace))
    return Estimate(distance, max(0.0, distance - spread), distance + spread)
