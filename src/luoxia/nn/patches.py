"""Samples cut into patches, and put together: along one axis or several, such as rows and columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def patch_grid(sizes: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """How many patches cover each axis.

    >>> patch_grid((28, 30), (8, 8))
    (4, 4)
    """
    return tuple(math.ceil(size / side) for size, side in zip(sizes, patch, strict=True))


def cut(x: Tensor, patch: Sequence[int]) -> Tensor:
    """X (n, c, *sizes) → (n, patches, c · values of a patch), the last axis fastest; what overlaps the end is 0."""
    n, channels, *sizes = x.shape
    grid = patch_grid(sizes, patch)
    missing = [count * side - size for count, side, size in zip(grid, patch, sizes, strict=True)]
    x = F.pad(x, [end for more in reversed(missing) for end in (0, more)])
    x = x.reshape(n, channels, *(number for pair in zip(grid, patch, strict=True) for number in pair))
    axes = len(sizes)
    order = [0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2)]
    return x.permute(order).reshape(n, math.prod(grid), channels * math.prod(patch))


def put_together(patches: Tensor, sizes: Sequence[int], patch: Sequence[int]) -> Tensor:
    """What `cut` was given: (n, patches, c · values of a patch) → (n, c, *sizes)."""
    grid, n = patch_grid(sizes, patch), len(patches)
    x = patches.reshape(n, *grid, -1, *patch)
    axes = len(sizes)
    order = [0, 1 + axes, *(axis for i in range(axes) for axis in (1 + i, 2 + axes + i))]
    x = x.permute(order).reshape(n, -1, *(count * side for count, side in zip(grid, patch, strict=True)))
    for axis, size in enumerate(sizes, 2):
        x = x.narrow(axis, 0, size)
    return x
