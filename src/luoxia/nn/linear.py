"""The linear layer of a Transformer, quick for one row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """X (..., in) → x Wᵀ + b (..., out), W (out, in).

    One row on a CPU, as in decoding a single text, is multiplied as a vector: the kernels for matrices repack W first,
    which takes longer than the product.
    """
    shape = x.shape
    if x.numel() != shape[-1] or not x.is_cpu or torch.is_grad_enabled():
        return F.linear(x, weight, bias)
    if x.dtype != weight.dtype or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return F.linear(x, weight, bias)
    row = x.view(-1)
    y = torch.mv(weight, row) if bias is None else torch.addmv(bias, weight, row)
    return y.view(*shape[:-1], -1)


class Linear(nn.Linear):
    """``nn.Linear`` by ``project``."""

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) → (..., out)."""
        return project(x, self.weight, self.bias)


class LastLayer(nn.Linear):
    """The layer to the logits; being no hidden one, it is left to AdamW where Muon trains the rest."""
