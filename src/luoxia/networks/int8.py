"""Weights of 8 bits for decoding: a quarter of the bytes to read for each token, and reading is what a token costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.errors import LuoxiaError, UsageError
from luoxia.networks.lora import adapters, replace_module
from luoxia.networks.transformer import Predictor

FEW = 16
"""Rows of input up to which torch's kernel is faster than making the matrix anew (2 cores with AVX-512)."""
BLOCK = 64
"""That kernel reads the columns in blocks, and beyond the end where they do not fill the last one."""


class Int8Linear(nn.Module):
    """A linear layer whose matrix W (out, in) is s·q: whole numbers q of 8 bits and a scale s for each row.

    s = max|W_row| / 127 and q = round(W / s): symmetric, so that 0 stays 0, and |W - s·q| ≤ s/2. The scales stay in
    float32 whatever the network's type; the bias stays as it was. For sampling only: nothing here is trained.
    """

    weight: Tensor
    scale: Tensor
    ones: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        weight = weight.detach().float()
        scale = (weight.abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        rounded = (weight / scale[:, None]).round().clamp(-127, 127)
        self.register_buffer("weight", rounded.to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("ones", torch.ones_like(scale, dtype=torch.bfloat16), persistent=False)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Int8Linear:
        """Follow the network to another device, but not to another type."""
        scale, ones = self.scale, self.ones
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.scale, self.ones = scale.to(self.scale.device), ones.to(self.ones.device)
        return self

    def dequantised(self) -> Tensor:
        """s·q (out, in) in float32."""
        return self.weight * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) → (..., out), in the type of x.

        For a few rows on a CPU, torch's kernel multiplies the 8-bit matrix as it is by x rounded to bfloat16: an error
        of at most 2⁻⁹ of each value, a third of what the rounding of the weights brings.
        """
        rows = x.numel() // self.in_features
        fits = 0 < rows <= FEW and self.in_features % BLOCK == 0
        bias = self.bias
        if not fits or not x.is_cpu or (x.requires_grad and torch.is_grad_enabled()):
            y = F.linear(x, self.dequantised().to(x.dtype))
            return y if bias is None else y + bias.to(y.dtype)
        few = x.reshape(rows, self.in_features).bfloat16().contiguous()
        sums = torch._weight_int8pack_mm(few, self.weight, self.ones)
        y = sums * self.scale if bias is None else torch.addcmul(bias, sums, self.scale)
        return y.to(x.dtype).view(*x.shape[:-1], self.out_features)


class Int8Head(nn.Module):
    """The layer to the vocabulary, in 8 bits; where it was tied, beside the embedding."""

    def __init__(self, weight: Tensor, softcap: float) -> None:
        super().__init__()
        self.linear = Int8Linear(weight)
        self.softcap = softcap

    def forward(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Hidden (n, t, width) → logits (n, t, vocabulary); the embedding's matrix is not used."""
        logits: Tensor = self.linear(hidden)
        return self.softcap * torch.tanh(logits.float() / self.softcap) if self.softcap else logits


def quantise(network: nn.Module, *, head: bool = False) -> nn.Module:
    """Give every linear layer of ``network`` a matrix of 8 bits, in place; embeddings and norms stay as they are.

    ``head`` includes the layer to the vocabulary of a decoder. ``UsageError`` for a network with LoRA adapters,
    ``LuoxiaError`` for weights that are not finite.
    """
    if any(True for _ in adapters(network)):
        raise UsageError(
            "the network has LoRA adapters: fold them into its weights before making those of 8 bits"
        )
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    for name, layer in layers.items():
        if not bool(torch.isfinite(layer.weight).all()):
            raise LuoxiaError(f"the weights of {name} are not all finite, so they cannot be made of 8 bits")
    for name, layer in layers.items():
        replace_module(network, name, Int8Linear(layer.weight, layer.bias))
    if head and isinstance(network, Predictor):
        own = network.output.weight
        replace_module(
            network,
            "output",
            Int8Head(network.embedding.tokens.weight if own is None else own, network.shape.softcap),
        )
    return network
