"""Weights of 8 bits for decoding: a quarter of the bytes to read for each token, and reading is what a token costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.core.errors import LuoxiaError
from luoxia.nn.quantize import replace_linear
from luoxia.nn.torch_private import int8_products

FEW = 16
"""Rows of input up to which torch's kernel is faster than restoring the matrix (2 cores with AVX-512)."""
BLOCK = 64
"""That kernel reads the columns in blocks, and beyond the end where they do not fill the last one."""


class Int8Linear(nn.Module):
    """A linear layer whose matrix W (out, in) is s·q: whole numbers q of 8 bits and a scale s for each row.

    s is max|W_row| / 127, rounded up to bfloat16, the type that torch's kernel multiplies by; q = round(W / s) then
    makes up for that rounding. Symmetric, so that 0 stays 0, and |W - s·q| ≤ s/2. The bias stays as it was. For
    sampling only: nothing here is trained.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        weight = weight.detach().float()
        scale = rounded_up((weight.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.bfloat16).tiny))
        self.register_buffer("weight", (weight / scale.float()[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Int8Linear:
        """Follow the network to another device, but not to another type."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.scale = self.scale.bfloat16()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) → (..., out), in the type of x.

        For a few rows on a CPU, torch's kernel multiplies the 8-bit matrix as it is by x rounded to bfloat16: an error
        of at most 2⁻⁹ of each value, a third of what the rounding of the weights brings.
        """
        rows = x.numel() // self.in_features
        fits = 0 < rows <= FEW and self.in_features % BLOCK == 0
        if not fits or not x.is_cpu or (x.requires_grad and torch.is_grad_enabled()):
            y = F.linear(x, self.weight.to(x.dtype)) * self.scale.to(x.dtype)
        else:
            few = x.reshape(rows, self.in_features).bfloat16().contiguous()
            y = int8_products(few, self.weight, self.scale)
            y = y.to(x.dtype).view(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias.to(y.dtype)


def rounded_up(x: Tensor) -> Tensor:
    """The smallest bfloat16 values not below x (n,), positive float32."""
    short = x.bfloat16()
    return torch.where(short.float() < x, torch.nextafter(short, torch.full_like(short, torch.inf)), short)


def quantize(network: nn.Module, *, head: bool = False) -> nn.Module:
    """Give every linear layer of ``network`` a matrix of 8 bits, in place; embeddings and norms stay as they are.

    ``head`` includes the layer to the vocabulary of a decoder. ``UsageError`` for a network with LoRA adapters,
    ``LuoxiaError`` for weights that are not finite.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear) and not bool(torch.isfinite(layer.weight).all()):
            raise LuoxiaError(f"the weights of {name} are not all finite, so they cannot be made of 8 bits")
    replace_linear(network, Int8Linear, head=head)
    return network
