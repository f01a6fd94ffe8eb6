"""Deep convolutional GAN (Radford et al. 2015, arXiv:1511.06434), for any size and shape of image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from luoxia.nn.layers import ClassInput, ClassPlane, Critic, center_crop, coarse, halvings, normalization
from luoxia.tasks.image_generation.networks.config import ClassicConfig


@dataclass(frozen=True, kw_only=True)
class DCGANConfig(ClassicConfig):
    """Sizes of both networks."""

    width: int = 64  # channels at the finest level
    norm: str = "none"  # in D: none, batch or layer
    refine: bool = False  # whether G ends in two convolutions and a sub-pixel layer


def channels_at(level: int, width: int) -> int:
    """Channels after ``level`` halvings: doubling from ``width``, at most 8 times it (the paper's figure 1)."""
    return width * min(1 << (level - 1), 8)


def initialize(network: nn.Module) -> None:
    """Weights from N(0, 0.02), batch-norm gains from N(1, 0.02) (the paper, section 4)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)


def transposed(width: int, channels: int) -> list[nn.Module]:
    """The paper's last layer: half size → image."""
    return [nn.ConvTranspose2d(width, channels, 4, 2, 1)]


def refining(width: int, channels: int) -> list[nn.Module]:
    """Two 3 × 3 convolutions at half size → image, by sub-pixel convolution."""
    first = [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return [*first, nn.Conv2d(width, 4 * channels, 3, 1, 1), nn.PixelShuffle(2)]


class Generator(nn.Module):
    """z → a small map → stride-2 transposed 4 × 4 convolutions that halve the channels; BN + ReLU, tanh at the end.

    The last transposed convolution makes the image (the paper's figure 1). With ``refine``, two 3 × 3 convolutions at
    half size make four values for each pixel there, and these are laid out as the image (sub-pixel convolution, Shi et
    al. 2016, arXiv:1609.05158): a better image for the same time of training.
    """

    memory_format = torch.channels_last

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        self.latent, self.classes, self.size = config.latent, config.classes, config.shape[1:]
        levels = halvings(*self.size)
        widths = [channels_at(level, config.width) for level in range(levels, 0, -1)]
        self.coarse = (widths[0], *coarse(*self.size, levels))
        self.condition = ClassInput(config.classes, config.embedding)
        self.project = nn.Linear(self.latent + self.condition.features, math.prod(self.coarse), bias=False)
        self.activate = nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        layers: list[nn.Module] = []
        for i, o in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False),
                nn.BatchNorm2d(o),
                nn.ReLU(inplace=True),
            ]
            layers += [nn.Dropout2d(config.g_dropout)] if config.g_dropout else []
        last = refining if config.refine else transposed
        self.layers = nn.Sequential(*layers, *last(config.width, config.shape[0]), nn.Tanh())
        initialize(self)

    def latent_weights(self) -> Tensor:
        """What z is first multiplied by: (outputs, latent)."""
        weights: Tensor = self.project.weight
        return weights[:, : self.latent]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,) → images (n, c, h, w) in [-1, 1]."""
        x = self.project(self.condition(z, labels)).view(-1, *self.coarse)
        return center_crop(self.layers(self.activate(x)), *self.size)


class Discriminator(nn.Module):
    """The mirror image: stride-2 4 × 4 convolutions that double the channels; LeakyReLU 0.2, one logit."""

    memory_format = torch.channels_last

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__()
        self.config = config
        colors, size = config.shape[0], config.shape[1:]
        levels = halvings(*size, smallest=3)  # once more than the generator where 7 × 7 pixels are left
        self.condition = ClassPlane(0 if config.projection else config.classes, *size)
        channels = colors + self.condition.channels
        layers: list[nn.Module] = []
        for level in range(1, levels + 1):
            o, norm = channels_at(level, config.width), config.norm if level > 1 else "none"
            layers.append(nn.Conv2d(channels, o, 4, 2, 1, bias=norm == "none"))
            layers.append(normalization(norm, o))  # none at the input: section 3
            layers += [nn.LeakyReLU(0.2, inplace=True), nn.Dropout2d(config.dropout)]
            channels = o
        self.layers = nn.Sequential(*layers, nn.Flatten())
        left = math.prod(side // 2**levels for side in size)
        self.critic = Critic(channels * left, config.classes if config.projection else 0)
        initialize(self)

    def lower_layers(self) -> list[nn.Module]:
        """Each convolution with its norm, LeakyReLU and dropout, from the image on."""
        return [self.layers[start : start + 4] for start in range(0, len(self.layers) - 1, 4)]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, c, h, w) in [-1, 1], labels (n,) → logits (n,)."""
        features = self.layers(self.condition(images, labels))
        logits: Tensor = self.critic(features, labels)
        return logits
