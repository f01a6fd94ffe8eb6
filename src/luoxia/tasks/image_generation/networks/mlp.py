"""The fully connected GAN of Goodfellow et al. 2014 (arXiv:1406.2661), at the sizes of the classic MNIST example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from luoxia.nn.layers import ClassInput, Critic

Shape = tuple[int, int, int]  # channels, height, width


class Generator(nn.Module):
    """z (latent) → 256 → 512 → 1024 → pixels; ReLU between, tanh at the end."""

    def __init__(
        self,
        latent: int,
        shape: Shape,
        hidden: Sequence[int] = (256, 512, 1024),
        *,
        classes: int = 0,
        embedding: int = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.shape = shape
        self.classes = classes
        self.condition = ClassInput(classes, embedding)
        widths = [latent + self.condition.features, *hidden]
        layers: list[nn.Module] = []
        for i, o in pairwise(widths):
            layers += [nn.Linear(i, o), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], math.prod(shape)), nn.Tanh())

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

    def __init__(
        self,
        shape: Shape,
        hidden: Sequence[int] = (1024, 512, 256),
        *,
        classes: int = 0,
        projection: bool = False,
        embedding: int = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.condition = ClassInput(0 if projection else classes, embedding)
        widths = [math.prod(shape) + self.condition.features, *hidden]
        layers: list[nn.Module] = []
        for i, o in pairwise(widths):
            layers += [nn.Linear(i, o), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.critic = Critic(widths[-1], classes if projection else 0)

    def stages(self) -> list[nn.Module]:
        """Each layer with its LeakyReLU and dropout, from the pixels on."""
        return [self.layers[start : start + 3] for start in range(0, len(self.layers), 3)]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, c, h, w) in [-1, 1], labels (n,) → logits (n,)."""
        features = self.layers(self.condition(images.flatten(1), labels))
        logits: Tensor = self.critic(features, labels)
        return logits
