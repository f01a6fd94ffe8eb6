"""Nearest neighbors in feature space: duplicates, memorization, novelty."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from luoxia.core.errors import LuoxiaError

QUANTILE = 0.01  # of real distances, below which two images count as the same
ROUND_OFF = 1e-5  # distances below this share of the features' spread are zero to within float32 features
CHUNK_ELEMENTS = 1 << 22  # float64 distances held at once: 32 MiB

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Device = torch.device | str


def distance_rows(
    queries: ArrayLike, points: ArrayLike, device: Device = "cpu"
) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows, Euclidean distances) of queries (n, d) to points (m, d), float64 on ``device``, some rows at a time.

    Both sides are centered on the points' mean first, so that |x|² + |y|² - 2 x·y loses little to
    cancellation.
    """
    y = torch.from_numpy(np.asarray(points, np.float64)).to(device)
    center = y.mean(0)
    y = y - center
    x = torch.from_numpy(np.asarray(queries, np.float64)).to(device) - center
    y_squares = (y * y).sum(1)
    step = max(1, CHUNK_ELEMENTS // max(1, len(y)))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        chunk = x[rows]
        squares = torch.addmm(y_squares, chunk, y.T, alpha=-2).add_((chunk * chunk).sum(1, keepdim=True))
        yield rows, squares.clamp_(min=0).sqrt_()


def nearest(
    queries: ArrayLike,
    points: ArrayLike,
    k: int = 1,
    *,
    skip: ArrayLike | None = None,
    device: Device = "cpu",
) -> tuple[Floats, Indices]:
    """Distances and indices (n, k), nearest first, of the ``points`` (m, d) nearest to each query (n, d).

    ``skip`` (n,) is one point for each query that is not a neighbor: the query itself, when it is
    among the points. Fewer than k points raise LuoxiaError.
    """
    available = len(np.asarray(points)) - (skip is not None)
    if available < k:
        raise LuoxiaError(f"{k} nearest neighbors were asked of {available} images: give more images")
    skipped = None if skip is None else torch.from_numpy(np.asarray(skip, np.int64)).to(device)
    found = []
    for rows, distances in distance_rows(queries, points, device):
        if skipped is not None:
            distances.scatter_(1, skipped[rows, None], torch.inf)
        found.append(torch.topk(distances, k, dim=1, largest=False, sorted=True))
    values = torch.cat([f.values for f in found]).cpu().numpy()
    return values, torch.cat([f.indices for f in found]).cpu().numpy()


def nearest_others(features: ArrayLike, k: int = 1, device: Device = "cpu") -> tuple[Floats, Indices]:
    """``nearest`` of each of the features (n, d) among the others."""
    return nearest(features, features, k, skip=np.arange(len(np.asarray(features))), device=device)


def threshold(real_distances: ArrayLike, features: ArrayLike, quantile: float = QUANTILE) -> float:
    """Distance at or below which two images count as the same.

    It is a small quantile of nearest distances between real images (n,), and never less than the round-off of
    ``features`` (m, d), so that exact copies count where real images are all distinct or all alike.
    """
    spread = float(np.sqrt(np.asarray(features, np.float64).var(0).sum()))
    return max(float(np.quantile(np.asarray(real_distances, np.float64), quantile)), ROUND_OFF * spread, 1e-9)


def duplicates(fake: ArrayLike, limit: float, device: Device = "cpu") -> NDArray[np.bool_]:
    """Which of the fake features (n, d) have another fake within ``limit`` (from ``threshold``) → (n,)."""
    flags: NDArray[np.bool_] = nearest_others(fake, device=device)[0][:, 0] <= limit
    return flags


def memorized(distances: ArrayLike, limit: float) -> NDArray[np.bool_]:
    """Which nearest training distances (n,) are a copy's, given ``limit`` from ``threshold`` → (n,).

    The test of Meehan et al. 2020 (arXiv:2004.05675) reduced to its tail: samples closer to the training
    set than (1 - quantile) of the real images that it does not hold.
    """
    flags: NDArray[np.bool_] = np.asarray(distances, np.float64) <= limit
    return flags
