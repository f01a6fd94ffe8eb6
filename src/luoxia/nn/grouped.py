"""Grouped convolution that stays quick when a penalty differentiates its gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.torch_private import weight_gradient


class GroupedConv2d(nn.Conv2d):
    """A k × k convolution in groups, stride 1, that keeps the image's size; equal to ``nn.Conv2d(groups=…)``.

    The framework differentiates the gradient of a grouped convolution one group after another, in copies. Here the
    gradient in the input is written as what it is, a transposed convolution in the same groups, which has a kernel of
    its own and so has its gradient: R1 and R2 take two thirds of the time on a CPU. Groups of 16 channels fill the
    vectors of AVX-512; on channels-last memory kernels run on whole pixels.
    """

    def __init__(self, channels: int, kernel: int, groups: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, channels, h, w) → the same shape, in the precision that autocast asks for."""
        if not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad)):
            return super().forward(x)
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.weight.dtype
        with torch.autocast(kind, enabled=False):
            assert self.bias is not None
            y: Tensor = _Grouped.apply(  # type: ignore[no-untyped-call]
                x.to(dtype), self.weight.to(dtype), self.bias.to(dtype), self.groups
            )
        return y


class _Grouped(torch.autograd.Function):
    """y = w ∗ x + b; dL/dx = wᵀ ∗ g, differentiable by a kernel; dL/dw, dL/db as the framework has them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.groups = groups
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2, groups=groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (g,), (x, weight), padding = gradients, ctx.saved_tensors, ctx.saved_tensors[1].shape[2] // 2
        in_x, in_weight, in_bias, _ = ctx.needs_input_grad
        dx = F.conv_transpose2d(g, weight, padding=padding, groups=ctx.groups) if in_x else None
        dw = weight_gradient(g, x, weight, padding, ctx.groups) if in_weight else None
        return dx, dw, g.sum((0, 2, 3)) if in_bias else None, None
