"""Precision, recall, density and coverage of features, from balls around their nearest neighbors.

Improved precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991. Density and coverage: Naeem et
al. 2020, arXiv:2002.09797.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.neighbors import Device, distance_rows, nearest_others

PRECISION_K = 3
DENSITY_K = 5


class Manifold(NamedTuple):
    """What each sample contributes; the means over the arrays are the four scores."""

    precision: NDArray[np.bool_]  # (fakes,) inside some real ball
    recall: NDArray[np.bool_]  # (reals,) inside some fake ball
    density: NDArray[np.float64]  # (fakes,) real balls around it, over k
    coverage: NDArray[np.bool_]  # (reals,) whose ball holds a fake


def radii(features: ArrayLike, k: int, device: Device = "cpu") -> NDArray[np.float64]:
    """Distance from each feature (n, d) to its k-th nearest other (its farthest, if n ≤ k) → (n,)."""
    n = len(np.asarray(features))
    if n < 2:
        raise LuoxiaError(
            f"precision and recall need two samples or more on each side, not {n}: generate more"
        )
    return nearest_others(features, min(k, n - 1), device)[0][:, -1]


def manifold(
    fake: ArrayLike,
    real: ArrayLike,
    *,
    precision_k: int = PRECISION_K,
    density_k: int = DENSITY_K,
    device: Device = "cpu",
) -> Manifold:
    """Compare fake (n, d) with real (m, d) features, n and m ≥ 2, else LuoxiaError.

    Precision and recall are eq. 1 and 2 of Kynkäänniemi et al. with k = 3; density and coverage are eq.
    4 and 5 of Naeem et al. with k = 5. Balls are closed, so that identical points cover one another.
    Two sides of at most k samples use the farthest neighbor there is.
    """
    tolerance = 1 + 1e-9  # a point on the rim stays inside whichever side its distance was computed from
    real_near, real_far, fake_near = (
        torch.from_numpy(radii(side, k, device) * tolerance).to(device)
        for side, k in ((real, precision_k), (real, density_k), (fake, precision_k))
    )
    precise, dense = [], []
    recalled = torch.zeros(len(real_near), dtype=torch.bool, device=device)
    covered = torch.zeros(len(real_far), dtype=torch.bool, device=device)
    for rows, distances in distance_rows(fake, real, device):
        precise.append((distances <= real_near).any(1))
        inside = distances <= real_far
        dense.append(inside.sum(1).double() / min(density_k, len(real_far) - 1))
        covered |= inside.any(0)
        recalled |= (distances <= fake_near[rows, None]).any(0)
    found = torch.cat(precise), recalled, torch.cat(dense), covered
    return Manifold(*(part.cpu().numpy() for part in found))
