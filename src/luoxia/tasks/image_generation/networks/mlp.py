"""The fully connected GAN of Goodfellow et al. 2014 (arXiv:1406.2661), at the sizes of the classic MNIST example."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from luoxia.nn.layers import ClassInput, Critic
from luoxia.tasks.image_generation.networks.config import ClassicConfig


@dataclass(frozen=True, kw_only=True)
class MLPConfig(ClassicConfig):
    """Sizes of both networks."""

    hidden: tuple[int, ...] = (256, 512, 1024)  # of G; D has them in reverse


class Generator(nn.Module):
    """z (latent) → 256 → 512 → 1024 → pixels; ReLU between, tanh at the end."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        self.config = config
        self.latent, self.shape, self.classes = config.latent, config.shape, config.classes
        self.condition = ClassInput(config.classes, config.embedding)
        widths = [config.latent + self.condition.features, *config.hidden]
        layers: list[nn.Module] = []
        for i, o in pairwise(widths):
            layers += [nn.Linear(i, o), nn.ReLU(inplace=True), nn.Dropout(config.g_dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(self.shape)), nn.Tanh())

    def latent_weights(self) -> Tensor:
        """What z is first multiplied by: (outputs, latent)."""
        weights: Tensor = self.layers[0].weight  # type: ignore[assignment]
        return weights[:, : self.latent]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,) → images (n, c, h, w) in [-1, 1]."""
        images: Tensor = self.layers(self.condition(z, labels))
        return images.view(-1, *self.shape)


class Discriminator(nn.Module):
    """Pixels → 1024 → 512 → 256 → one logit; LeakyReLU between (ReLU kills the generator's gradient)."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        self.config = config
        self.condition = ClassInput(0 if config.projection else config.classes, config.embedding)
        widths = [math.prod(config.shape) + self.condition.features, *reversed(config.hidden)]
        layers: list[nn.Module] = []
        for i, o in pairwise(widths):
            layers += [nn.Linear(i, o), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers)
        self.critic = Critic(widths[-1], config.classes if config.projection else 0)

    def lower_layers(self) -> list[nn.Module]:
        """Each layer with its LeakyReLU and dropout, from the pixels on."""
        return [self.layers[start : start + 3] for start in range(0, len(self.layers), 3)]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, c, h, w) in [-1, 1], labels (n,) → logits (n,)."""
        features = self.layers(self.condition(images.flatten(1), labels))
        logits: Tensor = self.critic(features, labels)
        return logits
