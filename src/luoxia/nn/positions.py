"""Where a position is, along a row or on a grid of several axes: sinusoids, learned vectors, rotations.

A position of a row is a number; one of a grid has a coordinate for each axis, such as (row, column) or (frame, row,
column). A table for a grid holds one part for each axis, one after the other; a position is the sum of its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]


def raster(grid: Sequence[int]) -> Tensor:
    """The coordinates of a grid's positions, the last axis fastest: (positions, axes) int64.

    >>> raster((2, 3)).tolist()
    [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    """
    return torch.cartesian_prod(*map(torch.arange, grid)).view(-1, len(grid))


def sinusoid(length: int, width: int) -> Tensor:
    """PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos(p / 10000^(2i/d)) (section 3.5); (length, width)."""
    rate = 10_000.0 ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rate
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width].float()


def rates(
    width: int, theta: float, factor: float = 1.0, low: float = 0.0, high: float = 0.0, original: float = 0.0
) -> Tensor:
    """θ^(-2i/d), the angle by which pair i turns a position (Su et al. 2021, arXiv:2104.09864, eq. 15); (d/2,) float64.

    A ``factor`` above 1 stretches the positions of a model that was trained on ``original`` of them: all pairs alike
    (Chen et al. 2023, arXiv:2306.15595), or, as in Llama 3.1, wholly for the pairs that turned fewer than ``low``
    times in training, not at all for those that turned more than ``high`` times, and in between in proportion.
    """
    rate = theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
    turns = original * rate / (2 * math.pi)
    kept = ((turns - low) / (high - low)).clamp(0, 1) if high > low else torch.zeros_like(rate)
    return kept * rate + (1 - kept) * rate / factor


def rotary(length: int, width: int, *scale: float) -> Tensor:
    """Cosines and signed sines of position times rate (the arguments of `rates`); (length, 2, width).

    "Half split": component i turns with component i + d/2, as in the released Llama, Qwen and Mistral weights.
    """
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates(width, *scale)
    sines = angles.sin()
    return torch.stack([angles.cos().repeat(1, 2), torch.cat([-sines, sines], dim=1)], dim=1).float()


def pairs_per_axis(width: int, axes: int) -> list[int]:
    """How many of the width / 2 pairs turn with each axis: all as many but the first, which takes the difference.

    >>> pairs_per_axis(64, 2), pairs_per_axis(64, 3), pairs_per_axis(32, 3)
    ([16, 16], [10, 11, 11], [6, 5, 5])
    """
    pairs = width // 2
    share = (pairs + 1) // axes
    return [pairs - share * (axes - 1)] + [share] * (axes - 1)


def axial_rotary(grid: Sequence[int], width: int, *scale: float) -> Tensor:
    """The `rotary` tables of a grid's axes (Σ grid, 2, width): each axis turns pairs of its own.

    The rates of an axis are those of a head as wide as its share. Cosines and sines of the other pairs are 0, so that
    the sum of a position's rows is its rotation.
    """
    first, tables = 0, []
    for size, share in zip(grid, pairs_per_axis(width, len(grid)), strict=True):
        table, own = torch.zeros(size, 2, 2, width // 2), rotary(size, 2 * share, *scale)
        table[..., first : first + share] = own.view(size, 2, 2, share)
        tables.append(table.flatten(2))
        first += share
    return torch.cat(tables)


def rotate(x: Tensor, rotation: Pair) -> Tensor:
    """Turn each pair of components of x (n, t, heads, d) by its angle; cosines and sines (1 or n, t, 1, d)."""
    cosines, sines = rotation
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, -1), sines).to(x.dtype)


class Table(nn.Module):
    """A constant table over positions: in float32 whatever the network's dtype, and no part of its weights."""

    table: Tensor

    def __init__(self, compute: Callable[..., Tensor], *arguments: object) -> None:
        super().__init__()
        self.compute, self.arguments = compute, arguments
        device = (
            torch.get_default_device()
        )  # a network built on "meta" is given its weights later, not its tables
        self.register_buffer("table", self.on("cpu" if device.type == "meta" else device), persistent=False)

    def on(self, device: torch.device | str) -> Tensor:
        """The table, computed on the CPU so that it is the same everywhere."""
        with torch.device("cpu"):
            return self.compute(*self.arguments).to(device)

    def forward(self, positions: Tensor) -> Tensor:
        """Positions (...) → their rows (..., width) of the table."""
        return self.table[positions]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Table:
        """Follow the network to another device, but not to another dtype nor into uninitialized memory."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.table.device.type != "meta":
            self.table = self.on(self.table.device)
        return self


class Rotary(Table):
    """The rotations of positions, of a row of ``length`` or of a ``grid``."""

    def __init__(self, length: int, grid: tuple[int, ...] | None, width: int, *scale: float) -> None:
        self.grid = grid
        if grid is None:
            super().__init__(rotary, length, width, *scale)
        else:
            super().__init__(axial_rotary, grid, width, *scale)

    def forward(self, positions: Tensor) -> Pair:  # type: ignore[override]
        """Positions (t,) or (n, t), on a grid (..., t, axes) → cosines and sines (..., t, 1, width)."""
        if self.grid is None:
            rows = self.table[positions]
        else:
            parts = zip(self.table.split_with_sizes(self.grid), positions.unbind(-1), strict=True)
            rows = reduce(torch.add, [table[coordinates] for table, coordinates in parts])
        cosines, sines = rows.chunk(2, dim=-2)
        return cosines, sines


class PositionEmbedding(nn.Embedding):
    """Learned vectors of positions, of a row of ``length`` or of a ``grid``."""

    def __init__(self, length: int, grid: tuple[int, ...] | None, width: int) -> None:
        super().__init__(length if grid is None else sum(grid), width)
        self.grid = grid

    def forward(self, positions: Tensor) -> Tensor:
        """Positions (t,) or (n, t), on a grid (..., t, axes) → (..., t, width)."""
        if self.grid is None:
            return super().forward(positions)
        parts = zip(positions.unbind(-1), self.weight.split_with_sizes(self.grid), strict=True)
        return reduce(torch.add, [F.embedding(coordinates, table) for coordinates, table in parts])
