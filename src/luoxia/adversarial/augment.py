"""Differentiable augmentation (DiffAugment: Zhao et al. 2020, arXiv:2006.10738): D sees only augmented images.

Every transform takes images (n, c, h, w) in [-1, 1], draws one setting for each sample, and is differentiable.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from luoxia.training.objective import Rng


def color(x: Tensor, rng: Rng) -> Tensor:
    """Brightness ± 0.5, saturation × [0, 2), contrast × [0.5, 1.5)."""
    n = len(x)
    x = x + rng.uniform(n, 1, 1, 1) - 0.5
    gray = x.mean(1, keepdim=True)
    x = gray + (x - gray) * 2 * rng.uniform(n, 1, 1, 1)
    middle = x.mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * (rng.uniform(n, 1, 1, 1) + 0.5)


def translation(x: Tensor, rng: Rng, ratio: float = 0.125) -> Tensor:
    """Shift by up to ``ratio`` of each side, in whole pixels; the uncovered part repeats the border.

    So no frame appears that real images do not have.
    """
    n, _, h, w = x.shape
    dy, dx = int(h * ratio + 0.5), int(w * ratio + 0.5)
    rows = rng.integers(-dy, dy + 1, n, 1) + torch.arange(h, device=x.device)
    columns = rng.integers(-dx, dx + 1, n, 1) + torch.arange(w, device=x.device)
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    samples = torch.arange(n, device=x.device)
    shifted: Tensor = x.permute(0, 2, 3, 1)[samples[:, None, None], rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2)


def cutout(x: Tensor, rng: Rng, ratio: float = 0.5) -> Tensor:
    """Set a square of ``ratio`` of each side to gray (0), anywhere, partly outside too."""
    n, _, h, w = x.shape
    rows = (torch.arange(h, device=x.device) - rng.integers(0, h + 1, n, 1)).abs() < h * ratio / 2
    columns = (torch.arange(w, device=x.device) - rng.integers(0, w + 1, n, 1)).abs() < w * ratio / 2
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return x.masked_fill(hidden, 0.0)


def mirror(x: Tensor, rng: Rng) -> Tensor:
    """Flip left and right with probability one half."""
    return torch.where(rng.uniform(len(x), 1, 1, 1) < 0.5, x.flip(3), x)


TRANSFORMS: dict[str, Callable[[Tensor, Rng], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
    "mirror": mirror,
}


def augment(x: Tensor, transforms: tuple[str, ...], rng: Rng) -> Tensor:
    """Apply the named transforms in order; x itself when there are none."""
    for name in transforms:
        x = TRANSFORMS[name](x, rng)
    return x
