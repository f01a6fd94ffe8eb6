"""A recipe of one's own: Luoxia's DCGAN generator against a small discriminator with larger kernels."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from luoxia.recipes import ImageGAN, ImageSpec, LossName, PenaltyName, Whole


class Judge(nn.Module):
    """Images (n, c, h, w) and labels, which it ignores → logits (n,)."""

    memory_format = torch.channels_last  # how its weights lie: convolutions are faster so

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, kernel, stride=2, padding=kernel // 2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, kernel, stride=2, padding=kernel // 2),
            nn.LeakyReLU(0.2),
        )
        self.head = nn.Linear(2 * width, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean over positions, so that any image size will do."""
        return self.head(self.features(images).mean((2, 3))).squeeze(1)


class MyRecipe(ImageGAN):
    """The relativistic loss with R1 on a discriminator of my own."""

    title: ClassVar[str] = "a GAN of my own"
    source: ClassVar[str] = "this file"

    kernel: Whole = Field(5, ge=3, le=9, description="side of the discriminator's kernels")
    width: Whole = 32
    steps: Whole = 2000
    loss: LossName = "relativistic"
    penalty: PenaltyName = "r1"
    gamma: float = 0.5

    def build_discriminator(self, data: ImageSpec) -> nn.Module:
        """Images, labels → logits."""
        return Judge(data.channels, self.width, self.kernel)
