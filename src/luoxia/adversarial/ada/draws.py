"""What ADA's transforms draw for each image of a batch, without asking the device for an answer."""

from __future__ import annotations

import torch
from torch import Tensor

from luoxia.training.objective import Rng


def chosen(n: int, p: Tensor, rng: Rng) -> Tensor:
    """(n,): true with probability p each."""
    return rng.uniform(n) < p


def maybe(values: Tensor, neutral: float, p: Tensor, rng: Rng) -> Tensor:
    """Values (n, …) where chosen, else ``neutral``."""
    yes = chosen(len(values), p, rng).view(-1, *[1] * (values.dim() - 1))
    return torch.where(yes, values, torch.full_like(values, neutral))


def lognormal(n: int, deviation: float, rng: Rng) -> Tensor:
    """(n,): 2^N(0, deviation²)."""
    return torch.exp2(rng.normal(n) * deviation)
