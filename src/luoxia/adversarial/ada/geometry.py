"""ADA's geometric transforms (arXiv:2006.06676, appendix B): pixels moved as they are, and one composed warp.

Beyond its edges an image goes on mirrored. All sizes and places are in pixels, so that rectangles keep their shapes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from luoxia.adversarial.ada.draws import chosen, lognormal, maybe
from luoxia.nn.resampling import upfirdn
from luoxia.nn.torch_private import spread_samples
from luoxia.training.objective import Rng

SHIFT = 0.125  # of a side: whole pixels uniformly, fractions normally
SCALE = 0.2  # standard deviation of log2

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""The low-pass filter of Daubechies's least asymmetric wavelet of 12 taps: Σ h(k) h(k + 2m) is 1 for m = 0, else 0.

Therefore sampling up by it and down by its mirror image changes nothing, and p = 0 is the identity.
"""
TAPS = len(SYM6)
MARGIN = TAPS // 2
CENTER = sum(k * h for k, h in enumerate(SYM6)) / sum(SYM6)


def mirrored(places: Tensor, size: int) -> Tensor:
    """Places along a side, any integers or reals, brought into the image by mirrors at its edges −½ and size − ½."""
    inside = (places + 0.5).remainder(2 * size)
    return torch.minimum(inside, 2 * size - inside) - 0.5


# ---------------------------------------------------------------------- pixels moved as they are


def blit(x: Tensor, p: Tensor, rng: Rng) -> Tensor:
    """Mirror, turn by quarters (rectangles: by halves), shift by whole pixels: each with probability p."""
    n, _, h, w = x.shape
    flip = (rng.uniform(n) < 0.5) & chosen(n, p, rng)
    turns = (rng.uniform(n) * 4).floor() if h == w else 2 * (rng.uniform(n) * 2).floor()
    shift = (rng.uniform(n, 2) * 2 - 1) * SHIFT * torch.tensor([h, w], device=x.device)
    return moved(x, flip, maybe(turns, 0.0, p, rng), maybe(shift.round(), 0.0, p, rng))


def moved(x: Tensor, flip: Tensor, turns: Tensor, shift: Tensor) -> Tensor:
    """X (n, c, h, w) mirrored where ``flip`` (n,), then turned anticlockwise ``turns`` (n,) times, then shifted.

    ``shift`` (n, 2) is down and to the right. Rectangles can be turned an even number of times only.
    """
    n, c, h, w = x.shape
    rows = mirrored(torch.arange(h, device=x.device) - shift[:, :1], h)[:, :, None].expand(n, h, w)
    columns = mirrored(torch.arange(w, device=x.device) - shift[:, 1:], w)[:, None, :].expand(n, h, w)
    half, odd = ((turns >= 2)[:, None, None], (turns % 2 == 1)[:, None, None])
    rows, columns = torch.where(half, h - 1 - rows, rows), torch.where(half, w - 1 - columns, columns)
    rows, columns = torch.where(odd, columns, rows), torch.where(odd, w - 1 - rows, columns)
    columns = torch.where(flip[:, None, None], w - 1 - columns, columns)
    index = (rows * w + columns).round().long().view(n, 1, h * w).expand(n, c, -1)
    return x.flatten(2).gather(2, index).view(n, c, h, w)


# ---------------------------------------------------------------------- one composed warp


def warp_at_random(x: Tensor, p: Tensor, rng: Rng) -> Tensor:
    """Scale, turn, stretch, turn again, shift: each with probability p (the two turns together)."""
    n, _, h, w = x.shape
    scale = maybe(lognormal(n, SCALE, rng), 1.0, p, rng)
    p_turn = 1 - (1 - p).clamp_min(0).sqrt()
    first = maybe((rng.uniform(n) * 2 - 1) * math.pi, 0.0, p_turn, rng)
    stretch = maybe(lognormal(n, SCALE, rng), 1.0, p, rng)
    second = maybe((rng.uniform(n) * 2 - 1) * math.pi, 0.0, p_turn, rng)
    shift = maybe(rng.normal(n, 2) * SHIFT, 0.0, p, rng) * torch.tensor([h, w], device=x.device)
    along = torch.stack([scale / stretch, scale * stretch], 1)  # rows, columns
    matrix = rotation(second) @ (along[:, :, None] * rotation(first))
    return warp(x, matrix, shift)


def rotation(angles: Tensor) -> Tensor:
    """Angles (n,), anticlockwise as the image is seen → (n, 2, 2), for places given as (row, column)."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def inverse(matrix: Tensor) -> Tensor:
    """Of each (n, 2, 2), without asking the device whether there is one, as ``torch.linalg.inv`` would."""
    (a, b), (c, d) = (row.unbind(1) for row in matrix.unbind(1))
    adjugate = torch.stack([torch.stack([d, -b], 1), torch.stack([-c, a], 1)], 1)
    return adjugate / (a * d - b * c)[:, None, None]


def warp(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Move what is at place q of each image, from its center, to matrix · q + shift.

    x (n, c, h, w), ``matrix`` (n, 2, 2) invertible, ``shift`` (n, 2), in (rows, columns) of pixels. The image is
    sampled up to twice its size, linearly interpolated there, and sampled down (appendix B: no aliasing up to ×2).
    """
    h, w = x.shape[2:]
    fine = sampled_up(x)
    # place of the t-th value of the fine grid: (t − CENTER) / 2; the filter down needs the values from 0 to 2h + 9
    rows, columns = ((torch.arange(2 * size + TAPS - 2, device=x.device) - CENTER) / 2 for size in (h, w))
    middle = torch.tensor([(h - 1) / 2, (w - 1) / 2], device=x.device)
    targets = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), 2) - middle
    back = inverse(matrix)
    offset = middle - (back @ shift[:, :, None])[:, :, 0]
    sources = targets.view(1, -1, 2) @ back.transpose(1, 2) + offset[:, None]  # (n, places, 2)
    grid = [_on_grid(sources[:, :, axis], size) for axis, size in ((1, w), (0, h))]  # columns first
    places = torch.stack(grid, 2).view(len(x), *targets.shape[:2], 2)
    return sampled_down(_interpolated(fine, places.to(x)))


def _on_grid(places: Tensor, size: int) -> Tensor:
    """Places along a side → coordinates of ``grid_sample`` on the fine grid; mirrored beyond what that grid covers."""
    fine, last = 2 * places + CENTER, 2 * size + TAPS - 2  # its values have the numbers −1 … last + 1
    outside = (fine < 0) | (fine > last)
    fine = torch.where(outside, 2 * mirrored(places, size) + CENTER, fine)
    return (fine + 1) * (2 / (last + 2)) - 1


def sampled_up(x: Tensor) -> Tensor:
    """(n, c, h, w) → (n, c, 2h + 13, 2w + 13): its mirror images are there too, as far as filters reach."""
    h, w = x.shape[2:]
    rows, columns = (mirrored(torch.arange(-MARGIN, s + MARGIN, device=x.device), s).long() for s in (h, w))
    line = torch.tensor(SYM6, dtype=x.dtype, device=x.device) * math.sqrt(2)
    y = upfirdn(x[:, :, rows][:, :, :, columns], line[:, None], up=(2, 1))
    return upfirdn(y, line[None, :], up=(1, 2))


def sampled_down(x: Tensor) -> Tensor:
    """(n, c, 2h + 10, 2w + 10) → (n, c, h, w): undoes ``sampled_up``, less its margins."""
    line = torch.tensor(SYM6[::-1], dtype=x.dtype, device=x.device) / math.sqrt(2)
    return upfirdn(upfirdn(x, line[:, None], down=(2, 1)), line[None, :], down=(1, 2))


def _interpolated(x: Tensor, places: Tensor) -> Tensor:
    y: Tensor = _Interpolated.apply(x, places)  # type: ignore[no-untyped-call]
    return y


class _Interpolated(torch.autograd.Function):
    """``grid_sample`` at constant places, which is linear in the image: PyTorch's own differentiates only once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = x.shape
        return F.grid_sample(x, places, "bilinear", "border", align_corners=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _Spread.apply(gradients[0], places, ctx.size), None  # type: ignore[no-untyped-call]


def spread_in_order(y: Tensor, places: Tensor, size: torch.Size) -> Tensor:
    """``spread_samples`` by an operation that adds in the same order each time, where the kernel of a GPU does not.

    Y (n, c, h, w) at places (n, h, w, 2) → an image of ``size``.
    """
    n, c, height, width = size
    values = y.permute(0, 2, 3, 1).reshape(-1, c)
    index = torch.arange(n, device=y.device).repeat_interleave(places.shape[1] * places.shape[2])
    column, row = (
        ((places[..., axis].flatten() + 1) / 2 * (side - 1)).clamp(0, side - 1)
        for axis, side in ((0, width), (1, height))
    )
    left, top = column.floor(), row.floor()
    indices, parts = [], []
    for down, tall in ((0, 1 - (row - top)), (1, row - top)):
        for right, broad in ((0, 1 - (column - left)), (1, column - left)):
            at = (top + down).clamp(max=height - 1).long() * width + (left + right).clamp(
                max=width - 1
            ).long()
            indices.append(index * height * width + at)
            parts.append(values * (tall * broad)[:, None])
    spread = y.new_zeros(n * height * width, c).index_add_(0, torch.cat(indices), torch.cat(parts))
    return spread.view(n, height, width, c).permute(0, 3, 1, 2)


class _Spread(torch.autograd.Function):
    """The adjoint: each value goes to the four that it would have been interpolated from."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, places: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        in_order = y.device.type != "cpu" and torch.are_deterministic_algorithms_enabled()
        return spread_in_order(y, places, size) if in_order else spread_samples(y, places, size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return _interpolated(gradients[0], places), None, None
