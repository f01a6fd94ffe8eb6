"""The networks of a codec of images: convolutions only, so that any height and width will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.autoencoder import Autoencoder, Coded
from luoxia.nn.quantizers import FSQ, VQ, Continuous, Quantizer

GROUPS = 8
"""Groups of a normalization at most."""


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS if channels % GROUPS == 0 else 1, channels)


class Block(nn.Module):
    """x + conv(SiLU(conv(SiLU(norm(x))))), the last one 0 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → the same shape."""
        y: Tensor = x + self.second(F.silu(self.first(F.silu(self.norm(x)))))
        return y


class Encoder(nn.Module):
    """Images (n, c, H, W), sides multiples of ``factor`` → latents (n, d, H / factor, W / factor)."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, widths[0], 3, padding=1)]
        for level, width in enumerate(widths):
            if level:
                layers.append(nn.Conv2d(widths[level - 1], width, 2, stride=2))
            layers += [Block(width) for _ in range(blocks + (level == len(widths) - 1))]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Sequential(_norm(widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], latent, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images in [−1, 1] → latents without bounds."""
        latents: Tensor = self.last(self.layers(x))
        return latents


class Decoder(nn.Module):
    """Codes (n, d, h, w) → images (n, c, h · factor, w · factor): the encoder, mirrored."""

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, latent: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(latent, widths[-1], 3, padding=1)]
        for level in reversed(range(len(widths))):
            width = widths[level]
            layers += [Block(width) for _ in range(blocks + (level == len(widths) - 1))]
            if level:
                layers += [nn.Conv2d(width, 4 * widths[level - 1], 1), nn.PixelShuffle(2)]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Sequential(
            _norm(widths[0]),
            nn.SiLU(),
            nn.Conv2d(widths[0], 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Codes → images, about in [−1, 1]."""
        images: Tensor = self.last(self.layers(codes))
        return images


@dataclass(frozen=True)
class CodecConfig:
    """The sizes of a codec's networks; ``widths`` are channels at ½, ¼ … of the size, down to the grid's."""

    channels: int
    widths: tuple[int, ...]
    blocks: int
    quantizer: str = "fsq"
    levels: tuple[int, ...] = (8, 5, 5, 5)
    codes: int = 1024
    code_width: int = 8

    def build_quantizer(self) -> Quantizer:
        """Of the kind named: fsq, vq or none."""
        if self.quantizer == "fsq":
            return FSQ(self.levels)
        if self.quantizer == "vq":
            return VQ(self.codes, self.code_width)
        if self.quantizer == "none":
            return Continuous(self.code_width)
        raise ValueError(f"quantizer {self.quantizer} is not fsq, vq or none")


class ImageAutoencoder(Autoencoder):
    """Images of any size: edges are repeated up to a multiple of ``factor``, and cut off again."""

    memory_format = torch.channels_last

    def __init__(self, config: CodecConfig) -> None:
        quantizer = config.build_quantizer()
        sizes = (config.channels, config.widths, config.blocks, quantizer.width)
        super().__init__(Encoder(*sizes), quantizer, Decoder(*sizes))
        self.config = config
        self.factor: int = 2 ** len(config.widths)

    def forward(
        self, x: Tensor, share: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Coded:
        """Images (n, c, h, w) → the same again; see ``Autoencoder``."""
        coded = super().forward(self.padded(x), share, generator)
        return coded._replace(samples=coded.samples[..., : x.shape[2], : x.shape[3]])

    def encode(self, x: Tensor) -> Tensor:
        """Images (n, c, h, w) → tokens (n, ⌈h / factor⌉, ⌈w / factor⌉, codebooks)."""
        return super().encode(self.padded(x))

    def padded(self, x: Tensor) -> Tensor:
        """Images whose right and lower edges are repeated up to multiples of ``factor``."""
        down, right = (-side % self.factor for side in x.shape[2:])
        return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


class Discriminator(nn.Module):
    """Judges patches (Isola et al. 2017, arXiv:1611.07004, section 3.2), and shows what it sees in them."""

    memory_format = torch.channels_last

    def __init__(self, channels: int, width: int, depth: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, width, 3, padding=1))
        ]
        for level in range(depth):
            wide = width << level
            layers.append(nn.Conv2d(wide, 2 * wide, 3, stride=2, padding=1))
        self.layers = nn.ModuleList(layers)
        self.last = nn.Conv2d(width << depth, 1, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (n, c, h, w) → features at ½, ¼ … of the size, and at last the logits (n, 1, h', w')."""
        found = []
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            found.append(x)
        return [*found, self.last(x)]
