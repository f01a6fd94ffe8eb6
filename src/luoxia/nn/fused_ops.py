"""Functions whose gradients are written out: a third of the operations, and so of the time, of composed ones on a CPU.

Their results in bfloat16 are rounded once, and their gradients are computed in float32 at least.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def worthwhile(x: Tensor) -> bool:
    """Whether a gradient written out helps with x: in training, as written, not on a GPU, whose kernels are quick."""
    return torch.is_grad_enabled() and x.requires_grad and not x.is_cuda and not torch.compiler.is_compiling()


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """1 / √(mean(x²) + ε) over the last dimension, kept, in x's dtype."""
    length: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return length.square_().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()


def wide(x: Tensor) -> Tensor:
    """X in float32, or as it is if that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Normalized(torch.autograd.Function):
    """RMS normalization."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        """y = s · x, s = 1 / √(mean(x²) + ε)."""
        w = wide(x)
        s = inverse_rms(w, eps)
        y = (w * s).to(x.dtype)
        ctx.save_for_backward(y, s)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """dL/dx = s · (g - y · mean(g · y)), g = dL/dy."""
        y, s = ctx.saved_tensors
        return through_norm(wide(gradient), wide(y), s).to(gradient.dtype), None


class NormalizedAndRotated(torch.autograd.Function):
    """RMS normalization, then rotary positions: z = R y, y = s · x, where R turns each pair of components."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosines: Tensor, sines: Tensor, eps: float) -> Tensor:
        """X (n, t, heads, d); see ``positions.rotate``."""
        w = wide(x)
        s = inverse_rms(w, eps)
        z = turn(w, cosines, sines, 1).mul_(s).to(x.dtype)
        ctx.save_for_backward(z, s, cosines, sines)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """dL/dx = Rᵀ s · (g - z · mean(g · z)), g = dL/dz: a rotation keeps g · z."""
        z, s, cosines, sines = ctx.saved_tensors
        h = through_norm(wide(gradient), wide(z), s)
        return turn(h, cosines, sines, -1).to(gradient.dtype), None, None, None


def through_norm(gradient: Tensor, y: Tensor, s: Tensor) -> Tensor:
    """s · (g - y · mean(g · y))."""
    share = (gradient * y).mean(-1, keepdim=True)
    return torch.addcmul(gradient, y, share, value=-1).mul_(s)


def turn(x: Tensor, cosines: Tensor, sines: Tensor, direction: int) -> Tensor:
    """Turn the pairs (i, i + d/2) of x (n, t, heads, d) by their angles, or back with ``direction`` = -1."""
    half = x.shape[-1] // 2
    y = x * cosines
    for here, there in ((slice(None, half), slice(half, None)), (slice(half, None), slice(None, half))):
        y[..., here].addcmul_(x[..., there], sines[..., here], value=direction)
    return y


class ReluSquared(torch.autograd.Function):
    """max(0, x)²."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """y = r², r = max(0, x)."""
        r = torch.relu(x)
        ctx.save_for_backward(r)
        return r * r

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """dL/dx = 2 r · dL/dy."""
        r: Tensor
        (r,) = ctx.saved_tensors
        return (gradient * r).mul_(2)


class Reflected(torch.autograd.Function):
    """Reflection at the borders of images, kept channels last: torch's own takes a CPU as long as a convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, reach: int) -> Tensor:
        """X (n, c, h, w) → (n, c, h + 2 reach, w + 2 reach)."""
        ctx.reach = reach
        n, c, h, w = x.shape
        y = x.new_empty(n, h + 2 * reach, w + 2 * reach, c).permute(0, 3, 1, 2)
        y[:, :, reach:-reach, reach:-reach] = x
        for there, here in _mirrored(h, reach):
            y[:, :, there, reach:-reach] = x[:, :, here]
        for there, here in _mirrored(w, reach):
            y[:, :, :, there] = y[:, :, :, here + reach]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient of a border pixel falls to the pixel that it repeats."""
        reach = ctx.reach
        h, w = gradient.shape[2] - 2 * reach, gradient.shape[3] - 2 * reach
        rows = gradient[:, :, :, reach:-reach].clone(memory_format=torch.preserve_format)
        for there, here in _mirrored(w, reach):
            rows[:, :, :, here] += gradient[:, :, :, there]
        inner = rows[:, :, reach:-reach].clone(memory_format=torch.preserve_format)
        for there, here in _mirrored(h, reach):
            inner[:, :, here] += rows[:, :, there]
        return inner, None


def _mirrored(length: int, reach: int) -> list[tuple[int, int]]:
    """(border position in the padded line, the position it repeats in the line itself)."""
    before = [(reach - i, i) for i in range(1, reach + 1)]
    after = [(reach + length - 1 + i, length - 1 - i) for i in range(1, reach + 1)]
    return before + after
