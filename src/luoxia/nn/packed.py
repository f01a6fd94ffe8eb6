"""Matrices laid out for the CPU's bfloat16 units once, not in each product: a few rows take half the time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luoxia.nn import torch_private
from luoxia.nn.quantize import replace_linear
from luoxia.nn.stack import FeedForward, gelu_tanh


def packable(device: torch.device) -> bool:
    """Whether oneDNN multiplies bfloat16 matrices here."""
    return device.type == "cpu" and torch_private.packs_bfloat16()


class PackedLinear(nn.Module):
    """x Wᵀ + b in bfloat16, W (out, in) kept only in oneDNN's own order. For sampling: not trained, not saved.

    ``then`` is what oneDNN does to each value before it writes it: its name and algorithm.
    """

    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.then = ("none", "")
        # no buffer: neither saved nor cast, and no Tensor method knows its layout
        self.packed = torch_private.packed(weight.detach().bfloat16().contiguous())
        self.register_buffer("bias", None if bias is None else bias.detach().bfloat16())

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) → (..., out), both bfloat16."""
        return torch_private.packed_products(x, self.packed, self.bias, self.then)


def pack(network: nn.Module) -> nn.Module:
    """Make ``network`` a bfloat16 one whose linear layers and head are packed, in place; see ``packable``.

    GPT-2's activation joins the product before it: alone it takes torch up to thrice the product's time.
    """
    replace_linear(network, PackedLinear, head=True)
    for module in network.modules():
        if isinstance(module, FeedForward) and module.activation is gelu_tanh:
            module.up.then = ("gelu", "tanh")  # type: ignore[assignment]
            module.activation = nn.Identity()
    return network.bfloat16()
