"""Images that are too large for a device: translated in overlapping tiles that make what the whole would have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.layers import center_crop
from luoxia.tasks.image_translation.networks.cyclegan import (
    STRIDE,
    Generator,
    InstanceNorm,
    ResidualBlock,
    fit,
)

RAMP = 32
"""Pixels over which two tiles are blended."""


@dataclass(frozen=True)
class Tile:
    """Where it lies, and what each of its pixels counts: (1, 1, height, width), with all tiles 1 at each pixel."""

    top: int
    left: int
    weights: Tensor

    def of(self, whole: Tensor) -> Tensor:
        """This part of an image (1, c, H, W)."""
        height, width = self.weights.shape[2:]
        return whole[:, :, self.top : self.top + height, self.left : self.left + width]


def smallest_tile(network: Generator) -> int:
    """Pixels a side that a tile must have: what its borders depend on, twice, the ramp, and something between."""
    return 2 * _margin(network) + 2 * RAMP


def translate_in_tiles(network: Generator, image: Tensor, side: int, device: torch.device) -> Tensor:
    """An image (1, c, h, w) of any size, in tiles of ``side`` pixels a side → the same shape, float32.

    All tiles go through the network layer by layer, for its normalization is by the moments of the whole image: these
    are added up over the tiles. The outermost pixels of a tile, which lack their surroundings, count nothing. The
    ``device`` holds one tile at a time; the others wait in main memory.
    """
    whole = fit(image)
    tiles = list(_tiles(network, whole.shape[2], whole.shape[3], side))
    parts = [tile.of(whole) for tile in tiles]
    for module in (network.stem, network.down, network.blocks, network.up):
        parts = _through(module, parts, tiles, device)
    output = torch.zeros_like(whole, dtype=torch.float32)
    for tile, part in zip(tiles, parts, strict=True):
        tile.of(output).add_(part.float() * tile.weights)
    return center_crop(output, image.shape[2], image.shape[3])


def _through(module: nn.Module, parts: list[Tensor], tiles: list[Tile], device: torch.device) -> list[Tensor]:
    """What a module makes of all tiles."""
    if isinstance(module, nn.Sequential | nn.ModuleList):
        for layer in module:
            parts = _through(layer, parts, tiles, device)
        return parts
    if isinstance(module, ResidualBlock):
        residuals = _through(module.layers, list(parts), tiles, device)
        return [x + y for x, y in zip(parts, residuals, strict=True)]
    if isinstance(module, InstanceNorm):
        mean, variance = _moments(parts, tiles)
        scale = torch.rsqrt(variance + module.eps)
        for i, x in enumerate(parts):
            parts[i] = ((x - mean) * scale).to(x.dtype)
        return parts
    for i, x in enumerate(parts):  # one after the other makes room for the next
        parts[i] = module(x.to(device)).cpu()
    return parts


def _moments(parts: list[Tensor], tiles: list[Tile]) -> tuple[Tensor, Tensor]:
    """Mean and variance (1, c, 1, 1) of the whole image's channels."""
    count = total = squares = torch.zeros(())
    for x, tile in zip(parts, tiles, strict=True):
        weights = F.avg_pool2d(tile.weights, tile.weights.shape[2] // x.shape[2]).double()
        x = x.double()
        count = count + weights.sum()
        total = total + (weights * x).sum((2, 3), keepdim=True)
        squares = squares + (weights * x * x).sum((2, 3), keepdim=True)
    mean = total / count
    return mean.float(), (squares / count - mean * mean).clamp_min(0).float()


def _tiles(network: Generator, height: int, width: int, side: int) -> Iterator[Tile]:
    margin, side = _margin(network), side // STRIDE * STRIDE
    rows, columns = _windows(height, side, margin), _windows(width, side, margin)
    for (top, down), (left, across) in product(rows, columns):
        yield Tile(top, left, (down[:, None] * across)[None, None])


def _margin(network: Generator) -> int:
    return -(-network.reach // STRIDE) * STRIDE


def _windows(length: int, side: int, margin: int) -> list[tuple[int, Tensor]]:
    """(start, weights) along one side: 0 within ``margin`` of a cut, then a ramp; all together 1 everywhere."""
    if length <= side:
        return [(0, torch.ones(length))]
    step = side - 2 * margin - RAMP
    starts = [*range(0, length - side, step), length - side]
    total, windows = torch.zeros(length), []
    for start in starts:
        at = torch.arange(side)
        before = at + 0.5 - margin if start > 0 else torch.full((side,), float(RAMP))
        after = side - at - 0.5 - margin if start < length - side else torch.full((side,), float(RAMP))
        weights = (torch.minimum(before, after) / RAMP).clamp(0, 1)
        total[start : start + side] += weights
        windows.append((start, weights))
    return [(start, weights / total[start : start + side]) for start, weights in windows]
