"""A generator and a discriminator that are Transformers: the one of this project, between patches and pixels.

After TransGAN (Jiang et al. 2021, arXiv:2102.07074) and ViTGAN (Lee et al. 2021, arXiv:2107.04589), whose cures for
instability (convolutions, local attention, spectral norms) the relativistic loss with R1 and R2 makes unnecessary. No
convolution but the patch embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from luoxia.nn.context import AttentionContext
from luoxia.nn.layers import ClassInput, Critic, center_crop
from luoxia.nn.linear import Linear
from luoxia.nn.stack import ModulatedBlock, Stack
from luoxia.nn.transformer import initialize
from luoxia.nn.transformer_config import TransformerConfig
from luoxia.tasks.image_generation.networks.config import PairConfig


@dataclass(frozen=True, kw_only=True)
class TransformerGANConfig(PairConfig):
    """Sizes of both networks."""

    width: int = 96  # of both Transformers
    layers: int = 4  # of each
    heads: int = 4
    patch: int = 4  # pixels of a patch's side


def form(width: int, layers: int, heads: int, init: Literal["xavier", "zero"]) -> TransformerConfig:
    """A Transformer in which every patch sees every other: layer norms, whose gradients have gradients, and GELU."""
    return TransformerConfig(
        0, width=width, layers=layers, heads=heads, norm="layer", positions="none", bias=True, init=init
    )


def patches(height: int, width: int, patch: int) -> tuple[int, int]:
    """Rows and columns of patches that cover an image."""
    return math.ceil(height / patch), math.ceil(width / patch)


class Generator(nn.Module):
    """z → a style for every layer, and a first shift of the learned patches → a Transformer → pixels of each patch."""

    def __init__(self, config: TransformerGANConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.latent, self.classes, self.patch, self.shape = (
            config.latent, config.classes, config.patch, config.shape,
        )  # fmt: skip
        self.grid = patches(*self.shape[1:], self.patch)
        self.condition = ClassInput(self.classes, width)
        inputs = self.latent + self.condition.features
        self.style = nn.Sequential(Linear(inputs, width), nn.GELU(), Linear(width, width))
        self.shift = Linear(width, width)
        self.positions = nn.Parameter(torch.empty(math.prod(self.grid), width))
        inner = form(width, config.layers, config.heads, "xavier")
        self.stack = Stack(inner, config.layers, block=ModulatedBlock)
        self.to_pixels = Linear(width, self.shape[0] * self.patch**2)
        initialize(self, inner)
        nn.init.normal_(self.positions)

    def latent_weights(self) -> Tensor:
        """What z is first multiplied by: (outputs, latent)."""
        weights: Tensor = self.style[0].weight  # type: ignore[assignment]
        return weights[:, : self.latent]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,) → images (n, c, h, w), about [-1, 1]."""
        (rows, columns), p, (channels, height, width) = self.grid, self.patch, self.shape
        style = self.style(self.condition(z, labels))
        x = self.positions + self.shift(style)[:, None]
        context = AttentionContext(torch.arange(rows * columns, device=z.device), style=style)
        pixels = self.to_pixels(self.stack(x.to(style.dtype), context))
        pixels = pixels.view(-1, rows, columns, channels, p, p).permute(0, 3, 1, 4, 2, 5)
        return center_crop(pixels.reshape(-1, channels, rows * p, columns * p), height, width)


class Discriminator(nn.Module):
    """Patches → a Transformer → their mean → a logit, by projection where there are classes.

    Each patch is seen with half a patch around it (Lee et al. 2021, arXiv:2107.04589, "overlapping image
    patches"): D then judges the seams, too.

    Its attention is softmax(QKᵀ/√d)V as it is written: R1 and R2 differentiate its gradient, and the fused kernels
    have no second derivative.
    """

    memory_format = torch.channels_last

    def __init__(self, config: TransformerGANConfig) -> None:
        super().__init__()
        self.config, width, patch, shape = config, config.width, config.patch, config.shape
        rows, columns = patches(*shape[1:], patch)
        around = patch // 2
        right, below = columns * patch - shape[2], rows * patch - shape[1]
        self.margin = (around, around + right, around, around + below)
        self.embed = nn.Conv2d(shape[0], width, patch + 2 * around, patch)
        self.positions = nn.Parameter(torch.empty(rows * columns, width))
        inner = form(width, config.layers, config.heads, "zero")  # layers start as the identity, as in G
        self.stack = Stack(inner, config.layers)
        self.critic = Critic(width, config.classes)
        initialize(self.stack, inner)
        nn.init.normal_(self.positions, 0.0, 0.02)

    def lower_layers(self) -> list[nn.Module]:
        """The patch embedding, then each layer."""
        return [self.embed, *self.stack.layers]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, c, h, w), labels (n,) → logits (n,)."""
        x = self.embed(F.pad(images, self.margin)).flatten(2).transpose(1, 2)
        x = x + self.positions.to(x.dtype)
        with sdpa_kernel(SDPBackend.MATH):
            x = self.stack(x, AttentionContext(torch.arange(x.shape[1], device=x.device)))
        logits: Tensor = self.critic(x.mean(1), labels)
        return logits
