"""What trainings by flow matching share, whatever they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from luoxia.nn.flow_matching import interpolate, logit_normal, midpoints, stratified, velocity_loss
from luoxia.training.objective import Losses, Objective, Phase, Rng, hashed

FIXED = 0
"""Seed of the noise of held-out losses: the same for every network, step and run."""


def velocity_errors(estimate: Callable[..., Tensor], batch: Any, t: Tensor, rng: Rng) -> Tensor:
    """The loss of each row of a batch at its t (n,), under noise of ``rng``: (n,), float32.

    ``estimate`` maps z_t, t and a batch's conditions to x̂; the batch has ``samples`` (n, …) and ``conditions``.
    """
    x = batch.samples
    noise = rng.normal(*x.shape)
    return velocity_loss(estimate(interpolate(x, noise, t), t, batch.conditions), x, t)


def fixed_errors(
    estimate: Callable[..., Tensor], batch: Any, t_mean: float, t_spread: float, number: int = 0
) -> Tensor:
    """The loss of each row (n,) at the same times and noise whenever it is asked for; batches have a ``number``."""
    rng = Rng(hashed(FIXED, number), batch.samples.device)
    t = logit_normal(midpoints(len(batch), rng.device), t_mean, t_spread)
    return velocity_errors(estimate, batch, t, rng)


class FlowMatching(Objective):
    """E‖v̂(z_t, t) − (x − ε)‖² over data x, noise ε ~ N(0, 1) and logit-normal t (Li & He 2025, arXiv:2511.13720).

    The ``network`` maps z_t, t and a batch's conditions to an estimate of x. A batch has ``samples`` (n, …) in about
    [-1, 1], and ``conditions``.
    """

    def __init__(self, name: str, network: nn.Module, t_mean: float = -0.8, t_spread: float = 0.8) -> None:
        self.name = name
        self.networks = {name: network}
        self.averaged = (name,)
        self.statistics = {}
        self.t_mean, self.t_spread = t_mean, t_spread

    def phases(self) -> Iterator[Phase]:
        """One."""
        yield Phase("flow", self.losses, self.name)

    def losses(self, batch: Any, rng: Rng) -> Losses:
        """The loss at times of which each batch sees all, and fresh noise."""
        t = logit_normal(stratified(rng.uniform(len(batch))), self.t_mean, self.t_spread)
        return {"velocity": velocity_errors(self.networks[self.name], batch, t, rng).mean()}

    @torch.no_grad()
    def observe(self, train: Any, heldout: Any | None, rng: Rng) -> dict[str, Tensor]:
        """The loss on batches it has and has not been trained on, at fixed times and noise, without dropout."""
        network = self.networks[self.name].eval()
        sides = (("train_loss", train), ("heldout_loss", heldout))
        observed = {
            name: fixed_errors(network, batch, self.t_mean, self.t_spread).mean()
            for name, batch in sides
            if batch is not None
        }
        network.train()
        return observed
