"""Resampling of images and feature maps: zeros between pixels, a filter, every n-th pixel; differentiable any times.

All of it is one depthwise convolution, and so is its gradient: written out here, for the gradient of a depthwise
convolution that frameworks derive takes ten times as long on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]

BINOMIAL = (1.0, 3.0, 3.0, 1.0)
"""StyleGAN2's filter (Karras et al. 2020, arXiv:1912.04958, appendix B)."""


def separable(taps: tuple[float, ...] = BINOMIAL) -> Tensor:
    """The outer product of a filter with itself (k, k), float32, of sum 1."""
    line = torch.tensor(taps)
    return torch.outer(line, line) / line.sum().square()


def upfirdn(
    x: Tensor, kernel: Tensor, up: Pair = (1, 1), down: Pair = (1, 1), padding: Padding = (0, 0, 0, 0)
) -> Tensor:
    """Put ``up`` − 1 zeros after each pixel, pad, convolve with ``kernel``, and keep every ``down``-th pixel.

    x (n, c, h, w) → (n, c, ⌊(h · up + top + bottom − k) / down⌋ + 1, …). Pairs are (rows, columns); ``padding`` is
    (top, bottom, left, right) around the image with its zeros, and crops where negative. ``kernel`` (kh, kw) is
    turned around, as in a true convolution (``scipy.signal.upfirdn``), and takes x's dtype.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        filtered: Tensor = _Upfirdn.apply(x, kernel, up, down, padding)  # type: ignore[no-untyped-call]
        return filtered
    return _forward(x, kernel, up, down, padding)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """(n, c, h, w) → (n, c, 2h, 2w), its mean kept, by an even ``kernel`` of sum 1."""
    k = kernel.shape[0]
    return upfirdn(x, kernel * 4, up=(2, 2), padding=(k // 2, k // 2 - 1) * 2)


def downsample(x: Tensor, kernel: Tensor) -> Tensor:
    """(n, c, h, w) → (n, c, ⌈h/2⌉, ⌈w/2⌉), by an even ``kernel`` of sum 1."""
    k, odd = kernel.shape[0], [size % 2 for size in x.shape[2:]]
    before = k // 2 - 1
    return upfirdn(x, kernel, down=(2, 2), padding=(before, before + odd[0], before, before + odd[1]))


class _Upfirdn(torch.autograd.Function):
    """The gradient of ``upfirdn`` is ``upfirdn``: kernel turned around, ``up`` and ``down`` exchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, up: Pair, down: Pair, padding: Padding) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.settings = (up, down, padding, x.shape[2:])
        return _forward(x, kernel, up, down, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (kernel,), (up, down, padding, size) = ctx.saved_tensors, ctx.settings
        (gradient,) = gradients
        around: list[int] = []
        for axis in (0, 1):
            before = kernel.shape[axis] - 1 - padding[2 * axis]
            longest = (size[axis] - 1) * up[axis] + kernel.shape[axis]
            around += [before, longest - gradient.shape[2 + axis] * down[axis] - before]
        top, bottom, left, right = around
        return (
            upfirdn(gradient, kernel.flip(0, 1), down, up, (top, bottom, left, right)),
            None,
            None,
            None,
            None,
        )


def _forward(x: Tensor, kernel: Tensor, up: Pair, down: Pair, padding: Padding) -> Tensor:
    channels = x.shape[1]
    weight = kernel.flip(0, 1).to(x).expand(channels, 1, *kernel.shape)
    top, bottom, left, right = padding
    around = (0, 0)
    if up == (1, 1) and top == bottom >= 0 and left == right >= 0:
        around, padding = (top, left), (0, 0, 0, 0)  # the convolution pads by itself, without a copy
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(_spread(x, up, padding), weight, stride=down, padding=around, groups=channels)


def _spread(x: Tensor, up: Pair, padding: Padding) -> Tensor:
    """x with zeros after each pixel and around."""
    top, bottom, left, right = padding
    if up == (1, 1):
        return F.pad(x, (left, right, top, bottom)) if any(padding) else x
    n, c, h, w = x.shape
    crop = [min(0, p) for p in padding]
    top, bottom, left, right = (max(0, p) for p in padding)
    layout = (
        torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    )
    size = (n, c, h * up[0] + top + bottom, w * up[1] + left + right)
    y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout).zero_()
    y[:, :, top : top + h * up[0] : up[0], left : left + w * up[1] : up[1]] = x
    return F.pad(y, (crop[2], crop[3], crop[0], crop[1])) if any(crop) else y
