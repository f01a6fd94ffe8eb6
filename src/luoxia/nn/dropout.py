"""Dropout (Srivastava et al. 2014), whose random numbers do not take longer than the layers around it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def dropout(x: Tensor, p: float) -> Tensor:
    """Each element of x zero with probability p (to 2⁻¹⁶), else divided by 1 − p; x itself where p is 0.

    On a CPU four elements share one draw of the generator, which otherwise takes longer than a matrix product.
    """
    if p == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, p)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
    keep = bits >= round(p * 2**16) - 2**15
    return x * keep.to(x.dtype).mul_(1 / (1 - p))


class Dropout(nn.Module):
    """``dropout`` in training, nothing in evaluation."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """X (…) → (…)."""
        return dropout(x, self.p) if self.training else x

    def extra_repr(self) -> str:
        """Its probability, for print."""
        return f"p={self.p}"
