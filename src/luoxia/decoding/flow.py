"""From noise to data: the ordinary differential equation of a flow, dz/dt = v(z, t), solved from t = 0 to 1.

Nothing here knows what flows: values are (n, …), and a ``Velocity`` is a network asked at one time for all rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.nn.flow_matching import interpolate, velocity

Estimate = Callable[[Tensor, float], Tensor]
"""z_t (n, …), t → an estimate of the data (n, …)."""
Velocity = Callable[[Tensor, float], Tensor]
"""z_t (n, …), t → dz/dt (n, …)."""
SolverName = Literal["euler", "heun"]
SHIFT = 3.0
"""Of the times of `flow`; see `times`."""


def row_noise(seed: int, numbers: Sequence[int], shape: Sequence[int]) -> Tensor:
    """ε (n, *shape), float32: row i is a pure function of (seed, numbers[i])."""
    rows = [np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(shape) for i in numbers]
    return torch.from_numpy(np.array(rows, np.float32).reshape(len(rows), *shape))


def times(steps: int, start: float = 0.0, shift: float = 1.0) -> list[float]:
    """``steps`` steps from ``start`` to 1: steps + 1 times, equally far apart without a ``shift``.

    A shift above 1 makes the first steps shorter, where what is large in a sample is decided, and the last ones longer,
    where little is left to estimate (Esser et al. 2024, arXiv:2403.03206, eq. 23).

    >>> times(4), times(2, 0.5), times(2, shift=3.0)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [0.5, 0.75, 1.0], [0.0, 0.25, 1.0])
    """
    shares = [step / steps for step in range(steps)]
    return [*(start + (1 - start) * u / (u + shift * (1 - u)) for u in shares), 1.0]


def euler(v: Velocity, z: Tensor, moments: Sequence[float]) -> Tensor:
    """z + h·v(z, t) for each step: first order, a call of v a step."""
    for t, after in itertools.pairwise(moments):
        z = z + (after - t) * v(z, t)
    return z


def heun(v: Velocity, z: Tensor, moments: Sequence[float]) -> Tensor:
    """Each step again, with the mean of the velocities at its ends: second order, two calls of v a step.

    (Karras et al. 2022, arXiv:2206.00364, algorithm 1.) A step that ends at 1 is Euler's: no velocity is known there.
    """
    for t, after in itertools.pairwise(moments):
        first = v(z, t)
        end = z + (after - t) * first
        z = end if after >= 1 else z + (after - t) / 2 * (first + v(end, after))
    return z


SOLVERS: dict[str, Callable[[Velocity, Tensor, Sequence[float]], Tensor]] = {"euler": euler, "heun": heun}


def velocity_of(estimate: Estimate) -> Velocity:
    """The velocity towards what a network takes for the data; before t = 1."""
    return lambda z, t: velocity(estimate(z, t), z, z.new_full((len(z),), t))


@dataclass(frozen=True)
class Known:
    """Data of which a part is known: values (n, …) or (1, …), and ``free``, True where a value is to be made."""

    values: Tensor
    free: Tensor

    def keep(self, x: Tensor) -> Tensor:
        """X with what is known in its place."""
        return torch.where(self.free, x, self.values)


def flow(
    estimate: Estimate,
    noise: Tensor,
    *,
    steps: int = 25,
    solver: SolverName = "heun",
    known: Known | None = None,
    strength: float = 1.0,
    shift: float = SHIFT,
) -> Tensor:
    """Data that ``noise`` (n, …) flows to.

    With ``known``, its fixed values move straight from their noise to what they are to be, so that the network sees
    them at every time as it has learned to; they come back as they are. ``strength`` below 1 starts on the way, at
    t = 1 − strength, from ``known`` under that much noise: the less, the nearer to it.
    """
    if known is None and strength < 1:
        raise UsageError(
            f"strength={strength:g} varies something that is known: give it, or leave strength out"
        )
    start, z = 1 - strength, noise
    if known is not None:
        z = interpolate(known.values.expand_as(noise), noise, noise.new_full((len(noise),), start))
    if strength == 0:
        return z
    kept = estimate if known is None else lambda z, t: known.keep(estimate(z, t))
    x = SOLVERS[solver](velocity_of(kept), z, times(steps, start, shift))
    return x if known is None else known.keep(x)


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): x̂ = x̂₋ + scale · (x̂₊ − x̂₋).

    A ``scale`` of 1 is none: x̂₊, the estimate under the condition. x̂₋ is that without it, or under a negative one. It
    holds for t in ``interval`` alone (Kynkäänniemi et al. 2024, arXiv:2404.07724).
    """

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def holds(self, t: float) -> bool:
        """Whether the network must be asked twice at this time."""
        return self.scale != 1 and self.interval[0] <= t <= self.interval[1]

    def combine(self, conditional: Tensor, other: Tensor) -> Tensor:
        """x̂₊, x̂₋ (n, …) → x̂ (n, …)."""
        return torch.lerp(other, conditional, self.scale)
