"""The residual networks of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028, appendix F), for any size of image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.layers import ClassInput, ClassPlane, Critic, center_crop, coarse, halvings, normalization
from luoxia.tasks.image_generation.networks.config import ClassicConfig


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(ClassicConfig):
    """Sizes of both networks."""

    width: int = 128  # channels
    norm: str = "none"  # in D: none, batch or layer


class UpBlock(nn.Module):
    """x ↑2 + conv(conv(x ↑2)): nearest-neighbor upsampling, BN + ReLU before each convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, inputs, h, w) → (n, outputs, 2h, 2w)."""
        y = self.conv1(F.interpolate(F.relu(self.norm1(x)), scale_factor=2.0))
        y = self.conv2(F.relu(self.norm2(y)))
        shortcut = F.interpolate(self.shortcut(x), scale_factor=2.0)  # a 1 × 1 convolution commutes with ↑2
        result: Tensor = shortcut + y
        return result


class DownBlock(nn.Module):
    """x + conv(conv(x)), mean-pooled by 2 where ``down``."""

    def __init__(self, inputs: int, outputs: int, *, down: bool, norm: str, first: bool = False) -> None:
        super().__init__()
        self.norm1 = normalization("none" if first else norm, inputs)
        self.norm2 = normalization(norm, outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if first or inputs != outputs else nn.Identity()
        self.first = first  # no ReLU on the pixels themselves
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """X (n, inputs, h, w) → (n, outputs, h, w), or half the size (rounded up) where ``down``."""
        y = self.norm1(x) if self.first else F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(y))))
        result: Tensor = self.pool(self.shortcut(x)) + self.pool(y)
        return result


class Generator(nn.Module):
    """z → a small map → residual blocks that double it → BN, ReLU, 3 × 3 convolution, tanh."""

    memory_format = torch.channels_last

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.latent, self.classes, self.size = config.latent, config.classes, config.shape[1:]
        levels = halvings(*self.size)
        self.coarse = (width, *coarse(*self.size, levels))
        self.condition = ClassInput(config.classes, config.embedding)
        self.project = nn.Linear(self.latent + self.condition.features, math.prod(self.coarse))
        blocks: list[nn.Module] = []
        for _ in range(levels):
            blocks += [UpBlock(width, width)]
            blocks += [nn.Dropout2d(config.g_dropout)] if config.g_dropout else []
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(width)
        self.to_image = nn.Conv2d(width, config.shape[0], 3, padding=1)

    def latent_weights(self) -> Tensor:
        """What z is first multiplied by: (outputs, latent)."""
        weights: Tensor = self.project.weight
        return weights[:, : self.latent]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,) → images (n, c, h, w) in [-1, 1]."""
        x = self.blocks(self.project(self.condition(z, labels)).view(-1, *self.coarse))
        return center_crop(self.to_image(F.relu(self.norm(x))).tanh(), *self.size)


class Discriminator(nn.Module):
    """Residual blocks: halving while 7 pixels a side are left, then two at that size; mean over pixels, one output."""

    memory_format = torch.channels_last

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        colors, size = config.shape[0], config.shape[1:]
        self.condition = ClassPlane(0 if config.projection else config.classes, *size)
        downs = halvings(*size, smallest=7)
        channels = colors + self.condition.channels
        blocks: list[nn.Module] = []
        for i in range(downs + 2):
            blocks.append(DownBlock(channels, width, down=i < downs, norm=config.norm, first=i == 0))
            blocks += [nn.Dropout2d(config.dropout)] if config.dropout else []
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.critic = Critic(width, config.classes if config.projection else 0)

    def lower_layers(self) -> list[nn.Module]:
        """The residual blocks, from the image on."""
        return [block for block in self.blocks if isinstance(block, DownBlock)]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, c, h, w) in [-1, 1], labels (n,) → logits (n,)."""
        features = F.relu(self.blocks(self.condition(images, labels))).mean((2, 3))
        logits: Tensor = self.critic(features, labels)
        return logits
