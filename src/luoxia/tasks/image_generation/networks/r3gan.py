"""R3GAN (Huang et al. 2024, arXiv:2501.05441, section 4): a ConvNet of today, for any size and shape of image.

No normalization anywhere, so that R1 and R2 mean what they say: what keeps activations in bounds at the start is the
initialization, under which every block is the identity (Zhang et al. 2019, arXiv:1901.09321).
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.grouped import GroupedConv2d
from luoxia.nn.layers import ClassVectors, center_crop, coarse, halvings
from luoxia.nn.resampling import downsample, separable, upsample
from luoxia.tasks.image_generation.networks.config import PairConfig

SLOPE = 0.2
EXPANSION = 2
GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""What LeakyReLU takes away from the root mean square (He et al. 2015, arXiv:1502.01852, eq. 15)."""


@dataclass(frozen=True, kw_only=True)
class R3GANConfig(PairConfig):
    """Sizes of both networks."""

    width: int = 768  # channels at the finest level; each coarser one has twice as many
    max_channels: int = 768  # of a level
    depth: int = 2  # residual blocks of a level
    group: int = 16  # channels of a group in the 3 × 3 convolutions


def widths_of(halved: int, finest: int, max_channels: int) -> list[int]:
    """Channels of each level, the finest first: doubling from ``finest``, at most ``max_channels``."""
    return [min(finest << level, max_channels) for level in range(halved + 1)]


def draw(layer: nn.Module, gain: float = 1.0) -> None:
    """Weights from N(0, gain / √fan-in), biases 0."""
    assert isinstance(layer.weight, Tensor)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if isinstance(layer.bias, Tensor):
        nn.init.zeros_(layer.bias)


class Pointwise(nn.Linear):
    """A 1 × 1 convolution, and LeakyReLU of a ``slope``, by the product of matrices that it is.

    Channels-last pixels need no copy for that; twice differentiated, as for R1 and R2, it takes half the time of a
    convolution on a CPU.
    """

    def __init__(
        self, inputs: int, outputs: int, *, bias: bool = False, gain: float = 1.0, slope: float = 1.0
    ) -> None:
        super().__init__(inputs, outputs, bias)
        self.slope = slope
        draw(self, gain)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, inputs, h, w) → (n, outputs, h, w)."""
        pixels = x.permute(0, 2, 3, 1)
        y = super().forward(pixels.flatten(0, 2))
        if self.slope != 1:  # while pixels are rows: of a view, autograd would copy the gradient
            y = F.leaky_relu(y, self.slope, inplace=True)
        return y.view(*pixels.shape[:3], self.out_features).permute(0, 3, 1, 2)


class Block(nn.Module):
    """x + 1 × 1 down (LReLU (3 × 3 grouped (LReLU (1 × 1 up x)))): the last starts at zero (figure 3, on the right).

    ``blocks``: how many the network has in all; each of the other two layers starts with gain · blocks^(-1/4), so
    that an update changes the network's output by as much, however deep it is.
    """

    def __init__(self, channels: int, group: int, blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * channels
        gain = GAIN * blocks**-0.25
        self.expand = Pointwise(channels, inner, bias=True, gain=gain, slope=SLOPE)
        self.mix = GroupedConv2d(inner, 3, inner // math.gcd(inner, group))
        self.reduce = Pointwise(inner, channels, gain=0.0)
        draw(self.mix, gain)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, channels, h, w) → the same shape."""
        y = F.leaky_relu(self.mix(self.expand(x)), SLOPE, inplace=True)
        result: Tensor = x + self.reduce(y)
        return result


class Level(nn.Module):
    """The blocks of one resolution; ``exact``: in float32, as at the coarsest, whose rounding the whole image shows."""

    def __init__(self, channels: int, depth: int, group: int, blocks: int, *, exact: bool) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(channels, group, blocks) for _ in range(depth)))
        self.exact = exact

    def forward(self, x: Tensor) -> Tensor:
        """X (n, channels, h, w) → the same shape, in the precision of the level."""
        kind = x.device.type
        if not torch.is_autocast_enabled(kind):
            return self._run(x)
        context = torch.autocast(kind, enabled=False) if self.exact else contextlib.nullcontext()
        with context:
            return self._run(x.float() if self.exact else x.to(torch.get_autocast_dtype(kind)))

    def _run(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(x.contiguous(memory_format=torch.channels_last))  # as Pointwise wants it
        return y


def levels_of(widths: list[int], depth: int, group: int, *, coarsest: int) -> nn.ModuleList:
    """A level for each width, with ``depth`` blocks; level number ``coarsest`` is exact."""
    total = depth * len(widths)
    return nn.ModuleList(
        Level(channels, depth, group, total, exact=index == coarsest) for index, channels in enumerate(widths)
    )


def between(widths: list[int]) -> nn.ModuleList:
    """A layer from the width of each level to that of the next."""
    return nn.ModuleList(Pointwise(i, o) if i != o else nn.Identity() for i, o in pairwise(widths))


class Classes(nn.Module):
    """A learned vector for each class, as a linear layer of its one-hot code would give."""

    def __init__(self, classes: int, features: int, gain: float = 1.0) -> None:
        super().__init__()
        self.embedding = ClassVectors(classes, features)
        nn.init.normal_(self.embedding.weight, 0.0, gain / math.sqrt(classes))

    def forward(self, labels: Tensor) -> Tensor:
        """Labels (n,) → (n, features)."""
        vectors: Tensor = self.embedding(labels)
        return vectors


class Generator(nn.Module):
    """z → a learned map times what a linear layer makes of z → blocks, bilinear ↑2, blocks, … → 1 × 1 to the image.

    No tanh at the end.
    """

    memory_format = torch.channels_last

    kernel: Tensor

    def __init__(self, config: R3GANConfig) -> None:
        super().__init__()
        self.config, latent, classes = config, config.latent, config.classes
        self.latent, self.classes, self.size = latent, classes, config.shape[1:]
        halved = halvings(*self.size)
        widths = widths_of(halved, config.width, config.max_channels)[::-1]
        self.embed = Classes(classes, latent) if classes else None
        self.basis = nn.Parameter(torch.randn(widths[0], *coarse(*self.size, halved)))
        self.weigh = nn.Linear(2 * latent if classes else latent, widths[0], bias=False)
        draw(self.weigh)
        self.widen = between(widths)  # before ↑2, where there are fewest pixels
        self.levels = levels_of(widths, config.depth, config.group, coarsest=0)
        self.to_image = Pointwise(widths[-1], config.shape[0])
        self.register_buffer("kernel", separable(), persistent=False)

    def latent_weights(self) -> Tensor:
        """What z is first multiplied by: (outputs, latent)."""
        weights: Tensor = self.weigh.weight
        return weights[:, : self.latent]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,) → images (n, c, h, w), about [-1, 1]."""
        if self.embed is not None:
            assert labels is not None
            z = torch.cat([z, self.embed(labels).to(z.dtype)], dim=1)
        x = self.levels[0](self.basis * self.weigh(z)[:, :, None, None])
        for widen, level in zip(self.widen, self.levels[1:], strict=True):
            x = level(upsample(widen(x), self.kernel))
        return center_crop(self.to_image(x), *self.size)


class Discriminator(nn.Module):
    """The mirror image: 1 × 1 from the image, blocks, bilinear ↓2, …, a learned map for each channel, linear layers.

    With classes, what the last layer makes of the image is compared with the label's vector.
    """

    memory_format = torch.channels_last

    kernel: Tensor

    def __init__(self, config: R3GANConfig) -> None:
        super().__init__()
        self.config, classes = config, config.classes
        channels, size = config.shape[0], config.shape[1:]
        halved = halvings(*size)
        widths = widths_of(halved, config.width, config.max_channels)
        self.from_image = Pointwise(channels, widths[0])
        self.levels = levels_of(widths, config.depth, config.group, coarsest=halved)
        self.widen = between(widths)
        last = widths[-1]
        self.basis = nn.Parameter(torch.empty(last, *coarse(*size, halved)))
        self.judge = nn.Linear(last, last if classes else 1, bias=False)
        self.embed = Classes(classes, last, gain=last**-0.5) if classes else None
        nn.init.normal_(self.basis, 0.0, self.basis[0].numel() ** -0.5)
        draw(self.judge)
        self.register_buffer("kernel", separable(), persistent=False)

    def lower_layers(self) -> list[nn.Module]:
        """The blocks of each size with the layer before them, from the image on."""
        return [nn.ModuleList(pair) for pair in zip([self.from_image, *self.widen], self.levels, strict=True)]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, c, h, w), labels (n,) → logits (n,)."""
        x = self.levels[0](self.from_image(images))
        for widen, level in zip(self.widen, self.levels[1:], strict=True):
            x = level(widen(downsample(x, self.kernel)))
        with torch.autocast(x.device.type, enabled=False):
            verdict: Tensor = self.judge((x.float() * self.basis).sum((2, 3)))  # (n, 1), or (n, last)
            if self.embed is None:
                return verdict.squeeze(1)
            assert labels is not None
            logits: Tensor = (verdict * self.embed(labels)).sum(1)
            return logits
