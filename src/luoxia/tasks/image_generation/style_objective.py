"""StyleGAN2's objective: the adversarial game, with styles that mix and paths whose length is kept in check."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from luoxia.adversarial.objective import Adversarial
from luoxia.training.objective import Batch, Losses, Phase, Rng

LENGTH_DECAY = 0.01
"""What a batch adds to the mean length a."""


class Style(Adversarial):
    """The adversarial objective on a generator with a mapping (Karras et al. 2020, arXiv:1912.04958).

    With probability ``mixing`` an image takes its later styles from a second latent (arXiv:1812.04948, section 3.1).
    Every ``path_every`` steps G pays ``path_weight`` · path_every · E(‖Jᵀy‖₂ − a)² (eq. 4), on half a batch, where
    a is the mean of these lengths so far. Its arguments besides these are those of ``Adversarial``.
    """

    def __init__(
        self,
        *args: Any,
        mixing: float = 0.9,
        path_weight: float = 2.0,
        path_every: int = 4,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        generator: Any = self.networks["generator"]
        self.layers: int = generator.layers
        self.noise_size: int = generator.noise_size
        self.mixing = mixing
        self.path_weight = path_weight
        self.path_every = path_every
        self._lengths: list[Tensor] = []  # of the parts of an update, before which the mean was ``_before``
        self._before = torch.tensor(0.0)
        if path_weight:
            self.state["path_length"] = torch.tensor(0.0)

    def phases(self) -> Iterator[Phase]:
        """D, its penalties, G, and lazily the length of its paths."""
        yield from super().phases()
        if self.path_weight:
            yield Phase(
                "path length",
                self.path_losses,
                "generator",
                every=self.path_every,
                twice=True,
                role="regularizer",
            )

    def generate(self, real: Batch, rng: Rng) -> Tensor:
        """As many generated images as real ones, with their labels: (n, c, h, w)."""
        images: Tensor = self._generated(len(real), real.labels, rng)
        return images

    def path_losses(self, real: Batch, rng: Rng) -> Losses:
        """The penalty of eq. 4 for half as many images as real ones, in float32."""
        n = max(1, len(real) // 2)
        labels = None if real.labels is None else real.labels[:n]
        with torch.autocast(real.samples.device.type, enabled=False):
            images, w = self._generated(n, labels, rng, with_w=True)
            lengths = path_lengths(images, w, rng)
        mean = self.state["path_length"]
        if not self._lengths:
            self._before = mean.clone()
        penalty = (lengths - self._before).square().mean()
        self._lengths.append(lengths.detach())
        mean.copy_(torch.lerp(self._before, torch.cat(self._lengths).mean(), LENGTH_DECAY))
        self.statistics["path_length"] = mean.clone()
        gain = self.path_weight * self.path_every
        return {
            "path_length": gain * penalty + 0 * images.sum()
        }  # as for penalties: a gradient for every parameter

    def after_update(self, network: str) -> None:
        """The next update's mean length begins with what this one left."""
        super().after_update(network)
        self._lengths.clear()

    def _generated(self, n: int, labels: Tensor | None, rng: Rng, **settings: Any) -> Any:
        z = rng.normal(n, self.latent)
        if self.mixing:
            share = rng.uniform(n) / self.mixing  # beyond 1: no mixing
            crossover = 1 + (share * (self.layers - 1)).floor()
            settings |= {"second": rng.normal(n, self.latent), "crossover": crossover}
        noise = rng.normal(n, self.noise_size)
        return self.networks["generator"](z, labels, noise=noise, **settings)


def path_lengths(images: Tensor, w: Tensor, rng: Rng) -> Tensor:
    """‖Jᵀy‖₂ of each image (n,), for J = ∂ images (n, c, h, w) / ∂ w (n, layers, d) and y from N(0, 1 / (h · w)).

    The norm is over w's dimensions, its square averaged over layers. Differentiable once more.
    """
    y = rng.normal(*images.shape) / math.sqrt(images.shape[2] * images.shape[3])
    (slopes,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
    return slopes.square().sum(2).mean(1).sqrt()
