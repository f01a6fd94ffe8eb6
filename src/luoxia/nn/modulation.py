"""Convolutions whose weights a style scales (Karras et al. 2020, arXiv:1912.04958, section 2.2 and eq. 1–3).

Scaling the weights' input channels for each sample would need a convolution of its own for each. Scaling the
activations instead is the same, and one convolution serves the whole batch; so is demodulation, after it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.equalized import GAIN, SLOPE, EqualLinear, precise
from luoxia.nn.resampling import separable, upfirdn


def scaled(x: Tensor, factor: Tensor) -> Tensor:
    """x (n, c, h, w) times ``factor`` (n, c), in x's dtype."""
    return x * factor.to(x.dtype)[:, :, None, None]


class StyledConv(nn.Module):
    """Style, 3 × 3 convolution, demodulation, noise, bias, leaky ReLU; ``up`` doubles the size, filtered after."""

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, styles: int, *, up: bool = False) -> None:
        super().__init__()
        self.style = EqualLinear(styles, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(()))
        self.scale = 1 / math.sqrt(inputs * 9)
        self.up = up
        self.register_buffer("kernel", 4 * separable(), persistent=False)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """X (n, inputs, h, w), w (n, d), noise (n, 1, H, W) or None → (n, outputs, H, W)."""
        style = self.style(w) * self.scale
        y = self._convolve(scaled(x, style))
        gain = (self.demodulation(style) * GAIN).to(y.dtype)[:, :, None, None]
        bias = (self.bias * GAIN).to(y.dtype)[:, None, None]
        y = torch.addcmul(bias, y, gain)
        if noise is not None:
            y = y + (noise * (self.strength * GAIN)).to(y.dtype)
        return F.leaky_relu_(y, SLOPE)

    def demodulation(self, style: Tensor) -> Tensor:
        """Style (n, inputs) → 1/√(Σ over inputs and kernel of (style · weight)²) (n, outputs): eq. 3, in float32."""
        with torch.autocast(style.device.type, enabled=False):
            energy = self.weight.square().sum((2, 3))
            return torch.rsqrt(style.square() @ energy.t() + 1e-8)

    def _convolve(self, x: Tensor) -> Tensor:
        if not self.up:
            return F.conv2d(x, self.weight, padding=1)
        y = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)  # (2h + 1, 2w + 1)
        return upfirdn(y, self.kernel, padding=(1, 1, 1, 1))


class ToOutput(nn.Module):
    """A styled 1 × 1 convolution to the image's channels, without demodulation: float32 (n, channels, h, w)."""

    def __init__(self, inputs: int, channels: int, styles: int) -> None:
        super().__init__()
        self.style = EqualLinear(styles, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """X (n, inputs, h, w), w (n, d) → (n, channels, h, w)."""
        y = F.conv2d(scaled(x, self.style(w) * self.scale), self.weight, self.bias)
        return precise(y)
