"""CycleGAN's networks (Zhu et al. 2017, arXiv:1703.10593, section 7.2), for images of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.fused_ops import Reflected, worthwhile
from luoxia.nn.layers import center_crop

STRIDE = 4
"""Pixels to one of the residual blocks' maps."""
SMALLEST = 8
"""Pixels a side that reflection needs at that stride."""


def initialize(network: nn.Module) -> None:
    """Weights from N(0, 0.02), no bias (the paper, section 7.1)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class InstanceNorm(nn.Module):
    """Each channel of each image to mean 0 and variance 1, without weights of its own (Ulyanov et al. 2016)."""

    eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → the same; one image and channel has two pixels or more."""
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return F.instance_norm(x, eps=self.eps)
        # On a CPU batch norm of one image is a quarter of the time: instance norm leaves channels last.
        parts = [F.batch_norm(part, None, None, training=True, eps=self.eps) for part in torch.split(x, 1)]
        return torch.cat(parts)


class Convolution(nn.Conv2d):
    """A convolution that keeps the size, its border filled by reflection, which adds no frame."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel)
        self.reach = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) → (n, outputs, h, w)."""
        if worthwhile(x):
            return super().forward(Reflected.apply(x, self.reach))  # type: ignore[no-untyped-call]
        return super().forward(F.pad(x, (self.reach,) * 4, mode="reflect"))


class ResidualBlock(nn.Module):
    """x + two 3 × 3 convolutions, ReLU between them and none after (section 7.2: R256)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Convolution(channels, channels, 3),
            InstanceNorm(),
            nn.ReLU(inplace=True),
            Convolution(channels, channels, 3),
            InstanceNorm(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) → the same."""
        residual: Tensor = self.layers(x)
        return x + residual


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Sizes of the network of one direction."""

    channels: int  # of the images
    width: int = 64  # channels at full size
    blocks: int = 9  # residual
    resize: bool = False  # whether it doubles by repeating pixels and convolving


class Generator(nn.Module):
    """Image → image: c7s1-64, d128, d256, 6 or 9 × R256, u128, u64, c7s1-3, tanh (section 7.2).

    With ``width`` 64, 9 blocks and RGB it has 11,378,179 parameters, as published. ``resize``: u128 and u64 repeat
    pixels and convolve, where transposed convolutions leave a checkerboard (Odena et al. 2016, "Deconvolution and
    Checkerboard Artifacts").
    """

    memory_format = torch.channels_last

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config, channels, width, resize = config, config.channels, config.width, config.resize
        widths = (width, 2 * width, 4 * width)
        self.stem = nn.Sequential(Convolution(channels, width, 7), InstanceNorm(), nn.ReLU(inplace=True))
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, 2 * i, 3, 2, 1), InstanceNorm(), nn.ReLU(inplace=True))
            for i in widths[:2]
        )
        self.blocks = nn.ModuleList(ResidualBlock(widths[2]) for _ in range(config.blocks))
        up = [
            layer
            for i in (widths[2], widths[1])
            for layer in (*self.doubling(i, resize), InstanceNorm(), nn.ReLU(inplace=True))
        ]
        self.up = nn.Sequential(*up, Convolution(width, channels, 7), nn.Tanh())
        self.resize = resize
        self.middle = config.blocks // 2 + 1
        """Residual blocks of the encoder: up to the one after the middle."""
        self.feature_channels = (channels, widths[1], widths[2], widths[2], widths[2])
        """Channels of what ``encode`` returns."""
        initialize(self)

    @staticmethod
    def doubling(channels: int, resize: bool) -> list[nn.Module]:
        """(n, channels, h, w) → (n, channels / 2, 2h, 2w)."""
        if resize:
            return [nn.Upsample(scale_factor=2), Convolution(channels, channels // 2, 3)]
        return [nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, output_padding=1)]

    @property
    def reach(self) -> int:
        """Pixels to each side that a pixel of the result depends on, but for the moments of the normalization."""
        doubled = (3 + 2) + (1 + 1) if self.resize else STRIDE + 2
        return 3 + 1 + 2 + 2 * STRIDE * len(self.blocks) + doubled + 3

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) in [−1, 1] → the same shape, in [−1, 1]."""
        return self.decode(self.encode(images)[-1], images.shape[2], images.shape[3])

    def encode(self, images: Tensor) -> list[Tensor]:
        """Five features of rising reach: the pixels, both downsampling convolutions, the first and the middle block.

        The layers that CUT compares (Park et al. 2020, section 4.1); the last is what ``decode`` starts from.
        """
        features = [fit(images)]
        x = self.stem(features[0])
        for down in self.down:
            convolution, *rest = down.children()
            x = convolution(x)
            features.append(x)
            for layer in rest:
                x = layer(x)
        for number, block in enumerate(self.blocks[: self.middle]):
            x = block(x)
            if number == 0:
                features.append(x)
        return [*features, x]

    def decode(self, feature: Tensor, height: int, width: int) -> Tensor:
        """The last feature of ``encode`` → images (n, c, height, width)."""
        for block in self.blocks[self.middle :]:
            feature = block(feature)
        return center_crop(self.up(feature), height, width)


def fit(images: Tensor) -> Tensor:
    """Repeat the border until both sides are multiples of 4, and 8 at least: what ``center_crop`` undoes."""
    height, width = (max(SMALLEST, -(-side // STRIDE) * STRIDE) for side in images.shape[2:])
    down, across = height - images.shape[2], width - images.shape[3]
    if down == across == 0:
        return images
    return F.pad(images, (across // 2, across - across // 2, down // 2, down - down // 2), mode="replicate")


PATCHES = {16: 1, 34: 2, 70: 3}
"""Side of the patch that one logit sees → stride-2 convolutions."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """Sizes of the judge of one side."""

    channels: int  # of the images
    width: int = 64  # channels at half size
    patch: int = 70  # side of what a logit sees, of ``PATCHES``


class Discriminator(nn.Module):
    """Image → a logit for each patch: C64-C128-C256-C512, 4 × 4 convolutions, LeakyReLU 0.2 (section 7.2).

    The published 70 × 70 PatchGAN halves three times and has 2,764,737 parameters; 34 and 16 halve once or twice less
    (Isola et al. 2017, arXiv:1611.07004, appendix 6.1.2).
    """

    memory_format = torch.channels_last

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config, halvings = config, PATCHES[config.patch]
        widths = [config.width << level for level in range(halvings + 1)]
        first = nn.Conv2d(config.channels, config.width, 4, 2, 1)
        layers: list[nn.Module] = [first, nn.LeakyReLU(0.2, inplace=True)]
        for level, inputs in enumerate(widths[:-1], 1):
            stride = 2 if level < halvings else 1
            layers += [
                nn.Conv2d(inputs, 2 * inputs, 4, stride, 1), InstanceNorm(), nn.LeakyReLU(0.2, inplace=True),
            ]  # fmt: skip
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) in [−1, 1] → logits (n, 1, about h / 2^halvings, about w / 2^halvings)."""
        logits: Tensor = self.layers(images)
        return logits


class ModuleGroup(nn.ModuleDict):
    """Named networks that one phase updates: to the optimizer and to other processes they are one."""

    memory_format = torch.channels_last

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """An input for each → a result of each."""
        return tuple(network(x) for network, x in zip(self.values(), inputs, strict=True))


@dataclass(frozen=True, kw_only=True)
class TranslatorsConfig(GeneratorConfig):
    """Sizes of a network for each direction."""

    directions: tuple[str, ...]  # of a2b and b2a


class Translators(ModuleGroup):
    """What a model holds: a generator for each direction, new or one of ``networks``."""

    def __init__(self, config: TranslatorsConfig, networks: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__(networks or {direction: Generator(config) for direction in config.directions})
        self.config = config
