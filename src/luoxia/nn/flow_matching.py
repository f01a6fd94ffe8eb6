"""Flow matching along straight paths, whatever flows (Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023,
arXiv:2209.03003).

Time t runs from noise ε ~ N(0, 1) at 0 to data x at 1. A sample lies at z_t = t·x + (1 − t)·ε, and moves with the
velocity dz/dt = x − ε = (x − z_t) / (1 − t). A network estimates x (Li & He 2025, arXiv:2511.13720): clean data lies on
a thin surface that a narrow network can hold, noise and velocities do not.

Values are (n, …), times (n,).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEAREST = 0.05
"""The loss divides by 1 − t, or by this where it is less (Li & He 2025, section 4)."""


def per_row(t: Tensor, like: Tensor) -> Tensor:
    """T (n,) as (n, 1, …), to multiply ``like`` (n, …)."""
    return t.view(-1, *[1] * (like.dim() - 1))


def interpolate(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """z_t = t·x + (1 − t)·ε: data, noise (n, …), t (n,) → (n, …)."""
    return torch.lerp(noise, x, per_row(t, x))


def velocity(x: Tensor, z: Tensor, t: Tensor, nearest: float = 0.0) -> Tensor:
    """(x − z) / max(1 − t, ``nearest``): data or its estimate, z_t (n, …), t (n,) → (n, …)."""
    return (x - z) / per_row((1 - t).clamp(min=nearest), z)


def velocity_loss(estimate: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """‖v̂ − v‖² a value, the mean of each row (n,), float32: the velocities of an estimate of x, and of x itself.

    They differ by (x̂ − x) / max(1 − t, `NEAREST`), whatever z_t is.
    """
    error = (estimate.float() - x).flatten(1).square().mean(1)
    return error / (1 - t).clamp(min=NEAREST).square()


# ------------------------------------------------------------------ times


def logit_normal(uniform: Tensor, mean: float, spread: float) -> Tensor:
    """Times whose logit is N(mean, spread²) (Esser et al. 2024, arXiv:2403.03206, section 3.1), of uniform values (n,).

    A negative mean spends more of the training near the noise.
    """
    edge = torch.finfo(torch.float32).eps
    return torch.sigmoid(mean + spread * torch.special.ndtri(uniform.clamp(edge, 1 - edge)))


def stratified(uniform: Tensor) -> Tensor:
    """Uniform values (n,), one in each n-th part of [0, 1): a batch then sees all times (Kingma et al. 2021,
    arXiv:2107.00630, appendix I.1)."""
    n = len(uniform)
    return (torch.arange(n, device=uniform.device) + uniform) / n


def midpoints(n: int, device: torch.device | str = "cpu") -> Tensor:
    """The middles of the n parts of [0, 1]: what `stratified` is on average.

    >>> midpoints(4).tolist()
    [0.125, 0.375, 0.625, 0.875]
    """
    return stratified(torch.full((n,), 0.5, device=device))


class TimeEmbedding(nn.Module):
    """A time as a vector: cosines and sines of t, and two layers (Peebles & Xie 2023, arXiv:2212.09748, section 3.2).

    The slowest wave takes 2π · 10 units of time, the fastest a hundredth of one.
    """

    rates: Tensor

    def __init__(self, width: int, waves: int = 64) -> None:
        super().__init__()
        rates = torch.logspace(math.log10(0.1), math.log10(200 * math.pi), waves)
        self.register_buffer("rates", rates, persistent=False)
        self.first, self.last = nn.Linear(2 * waves, width), nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        """T (n,) → (n, width)."""
        angles = t.float()[:, None] * self.rates.float()
        waves = torch.cat([angles.cos(), angles.sin()], 1).to(self.first.weight.dtype)
        out: Tensor = self.last(F.silu(self.first(waves)))
        return out


# ------------------------------------------------------------------ Gaussian data


def gaussian_estimate(z: Tensor, t: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """E[x | z_t] where each value of x is N(mean, variance) by itself: the best that can be, z (n, …), t (n,) → (n, …).

    ``mean`` and ``variance`` are those of each value (…).
    """
    t = per_row(t, z)
    return mean + t * variance / (t.square() * variance + (1 - t).square()) * (z - t * mean)
