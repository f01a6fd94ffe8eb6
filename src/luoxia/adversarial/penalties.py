"""Gradient penalties on the discriminator, per sample, and in float32 unless their caller says otherwise.

A penalty is called with the critic (samples, labels → logits (n,)), a real and a fake batch of samples
(n, …) with the labels they share, and a random generator; it returns a scalar to be added to the loss.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from luoxia.training.objective import Rng

Critic = Callable[[Tensor, Tensor | None], Tensor]


def input_gradients(
    critic: Critic, samples: Tensor, labels: Tensor | None, *, exact: bool = True
) -> tuple[Tensor, Tensor]:
    """∇ₓ D(x), flattened to (n, features), and the logits (n,); differentiable once more.

    ``exact``: autocast is off, for second derivatives lose most by rounding.
    """
    with torch.autocast(samples.device.type, enabled=False) if exact else contextlib.nullcontext():
        x = samples.detach().float().requires_grad_()
        logits = critic(x, labels)
        (gradients,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradients.flatten(1), logits


class Penalty(Protocol):
    """What the adversarial objective needs of a penalty."""

    weight: float
    """Γ or λ at present; the objective may change it during training."""

    @property
    def needs_fake(self) -> bool:
        """Whether the penalty reads generated samples."""
        ...

    def __call__(
        self, critic: Critic, real: Tensor, fake: Tensor | None, labels: Tensor | None, rng: Rng
    ) -> Tensor:
        """The scalar to be added to the discriminator's loss."""
        ...


@dataclass
class ZeroCentered:
    """R1 = γ/2 · E‖∇D(x)‖² on real samples, R2 on generated (Mescheder et al. 2018, arXiv:1801.04406, eq. 9 f.)."""

    weight: float
    on_real: bool = True

    @property
    def needs_fake(self) -> bool:
        """R2 alone reads generated samples."""
        return not self.on_real

    def __call__(
        self, critic: Critic, real: Tensor, fake: Tensor | None, labels: Tensor | None, rng: Rng
    ) -> Tensor:
        """γ/2 · mean over samples of the squared gradient norm."""
        samples = real if self.on_real else fake
        assert samples is not None
        gradients, logits = input_gradients(critic, samples, labels)
        # 0 · logits gives every parameter a gradient: DDP silently stops synchronizing the last bias without it.
        return 0.5 * self.weight * gradients.square().sum(1).mean() + 0 * logits.sum()


@dataclass
class UnitNorm:
    """λ · E(‖∇D(x̂)‖₂ − 1)² at points x̂ that ``around`` draws.

    ``line``: on the lines between real and generated samples (WGAN-GP: Gulrajani et al. 2017, arXiv:1704.00028, eq. 3);
    ``real``: near the real samples (DRAGAN: Kodali et al. 2017, arXiv:1705.07215, with the noise of its public code).
    """

    weight: float
    around: str = "line"

    @property
    def needs_fake(self) -> bool:
        """WGAN-GP's lines end in generated samples."""
        return self.around == "line"

    def points(self, real: Tensor, fake: Tensor | None, rng: Rng) -> Tensor:
        """Points x̂ (n, …), with one α for each sample."""
        alpha = rng.uniform(len(real), *[1] * (real.dim() - 1))
        if self.around == "line":
            assert fake is not None
            return alpha * real + (1 - alpha) * fake
        return real + alpha * 0.5 * real.std() * rng.uniform(*real.shape)

    def __call__(
        self, critic: Critic, real: Tensor, fake: Tensor | None, labels: Tensor | None, rng: Rng
    ) -> Tensor:
        """λ · mean over samples of (‖∇D(x̂)‖₂ − 1)²."""
        gradients, logits = input_gradients(critic, self.points(real.float(), fake, rng), labels)
        norms: Tensor = gradients.norm(dim=1)
        return self.weight * (norms - 1).square().mean() + 0 * logits.sum()


PENALTIES: dict[str, Callable[[float], list[tuple[str, Penalty]]]] = {
    "none": lambda gamma: [],
    "gp": lambda gamma: [("gp", UnitNorm(gamma))],
    "dragan": lambda gamma: [("dragan", UnitNorm(gamma, around="real"))],
    "r1": lambda gamma: [("r1", ZeroCentered(gamma))],
    "r2": lambda gamma: [("r2", ZeroCentered(gamma, on_real=False))],
    "r1+r2": lambda gamma: [("r1", ZeroCentered(gamma)), ("r2", ZeroCentered(gamma, on_real=False))],
}
