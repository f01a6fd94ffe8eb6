"""Layers with an equalized learning rate: weights from N(0, 1), scaled by 1/√fan_in each time they are used.

Adam's steps do not depend on a gradient's size, so that all layers then learn at one pace (Karras et al. 2018,
arXiv:1710.10196, section 4.1); ``lr`` slows a layer down against the others.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.resampling import separable, upfirdn

SLOPE = 0.2
GAIN = math.sqrt(2)
"""Leaky ReLU and what keeps the variance through it, nearly (Karras et al. 2020's code; He et al. 2015 have 1.387)."""


def precise(x: Tensor) -> Tensor:
    """x in float32, or in float64 if it is so already."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class EqualLinear(nn.Module):
    """x (n, inputs) → (n, outputs), then leaky ReLU and its gain where ``activate``; in float32 always."""

    def __init__(
        self, inputs: int, outputs: int, *, bias: float = 0.0, lr: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))
        self.scale, self.lr = lr / math.sqrt(inputs), lr
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """X (n, inputs) → (n, outputs)."""
        with torch.autocast(x.device.type, enabled=False):
            gain = GAIN if self.activate else 1.0
            bias = self.bias * (self.lr * gain)
            y = torch.addmm(bias, x.to(bias.dtype), self.weight.t(), alpha=self.scale * gain)
            return F.leaky_relu(y, SLOPE) if self.activate else y


class EqualConv(nn.Module):
    """Convolution, bias and leaky ReLU of a discriminator; ``down`` halves the size (rounded up), filtered before.

    ``gain`` is that of the whole layer, activation included. Without ``activate`` there is no bias either.
    """

    kernel: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        down: bool = False,
        activate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.gain = gain * GAIN if activate else gain
        self.scale = self.gain / math.sqrt(inputs * size * size)
        self.size = size
        self.down = down
        self.register_buffer("kernel", separable(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, inputs, h, w) → (n, outputs, h, w), or half that."""
        bias = None if self.bias is None else self.bias * self.gain  # the gain passes through a leaky ReLU
        y = F.conv2d(self._filtered(x), self.weight * self.scale, bias, *self._geometry())
        return y if bias is None else F.leaky_relu_(y, SLOPE)

    def _geometry(self) -> tuple[int, int]:
        """Stride and padding of the convolution itself."""
        if not self.down:
            return 1, self.size // 2
        return (2, 0) if self.size > 1 else (1, 0)  # 1 × 1: the filter has dropped the pixels already

    def _filtered(self, x: Tensor) -> Tensor:
        if not self.down:
            return x
        odd = [side % 2 for side in x.shape[2:]]
        reach = self.size // 2 + 1
        padding = (reach, reach + odd[0], reach, reach + odd[1])
        return upfirdn(x, self.kernel, down=(1, 1) if self.size > 1 else (2, 2), padding=padding)


class MinibatchSpread(nn.Module):
    """One more channel: how much the images of a group differ, so that D sees a lack of variety.

    The standard deviation over ``group`` images that follow each other, averaged over channels and pixels (Karras et
    al. 2018, section 3). Real and generated images may share a batch if ``group`` divides the number of either.
    """

    mixes_samples = True

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """X (n, c, h, w) → (n, c + 1, h, w). The last group is filled up from the first images."""
        n, _, h, w = x.shape
        group = min(self.group, n)
        groups = -(-n // group)
        full = torch.cat([x, x[: groups * group - n]]) if n % group else x
        y = precise(full).reshape(groups, group, *x.shape[1:])
        deviation = (y.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        each = deviation.repeat_interleave(group)[:n].to(x.dtype)
        return torch.cat([x, each[:, None, None, None].expand(n, 1, h, w)], 1)
