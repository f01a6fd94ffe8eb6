"""StyleGAN2's networks (Karras et al. 2020, arXiv:1912.04958, figure 7: skip generator, residual discriminator).

For any size and shape of image: both sides halve, rounded up, until the shorter has about 4 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from luoxia.nn.equalized import EqualConv, EqualLinear, MinibatchSpread
from luoxia.nn.layers import center_crop, coarse, halvings
from luoxia.nn.modulation import StyledConv, ToOutput
from luoxia.nn.resampling import separable, upsample
from luoxia.tasks.image_generation.networks.config import PairConfig

Noise = Literal["random", "const", "none"]

MAPPING_LR = 0.01
MEAN_DECAY = 0.995
"""Share of the old mean of w that a batch leaves."""


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config(PairConfig):
    """Sizes of both networks."""

    width: int = 64  # channels at the finest level: they double at each halving
    max_channels: int = 512  # of a level
    styles: int = 512  # dimensions of w
    mapping_layers: int = 8  # from z to w
    d_mapping_layers: int = 8  # from a class to what D compares with
    group: int = 4  # images whose spread D is shown; 0 = none


def widths_at(levels: int, width: int, max_channels: int) -> list[int]:
    """Channels from the coarsest of ``levels`` + 1 sizes to the finest: halving from ``max_channels`` to ``width``."""
    return [min(width << level, max_channels) for level in range(levels, -1, -1)]


def normalized(z: Tensor) -> Tensor:
    """z (n, d) divided by its root mean square."""
    return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


class ClassColumns(EqualLinear):
    """A learned vector for each class, of a label that is 1 in one place: a column of the weight."""

    class_axis = 1
    """As in ``layers.ClassVectors``."""


class Mapping(nn.Module):
    """z and a class → w: fully connected layers at a hundredth of the learning rate. ``latent`` = 0: a class alone."""

    def __init__(self, latent: int, classes: int, styles: int, layers: int) -> None:
        super().__init__()
        self.embedding = ClassColumns(classes, styles) if classes else None
        self.classes = classes
        inputs = latent + (styles if classes else 0)
        sizes = [inputs, *[styles] * layers]
        self.layers = nn.Sequential(
            *(EqualLinear(i, o, lr=MAPPING_LR, activate=True) for i, o in pairwise(sizes))
        )

    def forward(self, z: Tensor | None, labels: Tensor | None) -> Tensor:
        """z (n, latent) or None, labels (n,) or None → w (n, styles), float32."""
        parts = [] if z is None else [normalized(z)]
        if self.embedding is not None and labels is not None:
            one_hot = nn.functional.one_hot(labels, self.classes).to(self.embedding.weight.dtype)
            parts.append(normalized(self.embedding(one_hot)))
        w: Tensor = self.layers(torch.cat(parts, 1))
        return w


class SynthesisBlock(nn.Module):
    """Two styled convolutions, the first of which doubles the size, and a contribution to the image."""

    kernel: Tensor

    def __init__(self, inputs: int, outputs: int, channels: int, styles: int) -> None:
        super().__init__()
        self.first = StyledConv(inputs, outputs, styles, up=True)
        self.second = StyledConv(outputs, outputs, styles)
        self.to_image = ToOutput(outputs, channels, styles)
        self.register_buffer("kernel", separable(), persistent=False)

    def forward(
        self,
        x: Tensor,
        image: Tensor,
        w: tuple[Tensor, Tensor, Tensor],
        noise: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, Tensor]:
        """Features (n, inputs, h, w), image (n, c, h, w) → both at twice the size."""
        x = self.second(self.first(x, w[0], noise[0]), w[1], noise[1])
        return x, upsample(image, self.kernel) + self.to_image(x, w[2])


class Generator(nn.Module):
    """z → w (``map``) → a style for each layer → images (``synthesize``).

    ``latent`` dimensions of z, ``styles`` of w. ``layers`` is how many styles an image takes: all convolutions and the
    last contribution to the image. ``mean_w`` (styles,) follows the w of training: truncation pulls towards it.
    """

    memory_format = torch.channels_last

    mean_w: Tensor
    constant_noise: Tensor

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config, channels, styles = config, config.shape[0], config.styles
        self.latent, self.classes, self.size = config.latent, config.classes, config.shape[1:]
        levels = halvings(*self.size)
        widths = widths_at(levels, config.width, config.max_channels)
        self.sizes = [coarse(*self.size, levels)]
        for _ in range(levels):
            self.sizes.append((2 * self.sizes[-1][0], 2 * self.sizes[-1][1]))
        self.layers = 2 * levels + 2
        self.mapping = Mapping(self.latent, self.classes, styles, config.mapping_layers)
        self.constant = nn.Parameter(torch.randn(1, widths[0], *self.sizes[0]))
        self.first = StyledConv(widths[0], widths[0], styles)
        self.to_image = ToOutput(widths[0], channels, styles)
        self.blocks = nn.ModuleList(SynthesisBlock(i, o, channels, styles) for i, o in pairwise(widths))
        self.register_buffer("mean_w", torch.zeros(styles))
        self.register_buffer("constant_noise", torch.randn(1, self.noise_size))

    @property
    def noise_size(self) -> int:
        """Values of noise that one image takes: a map for each convolution."""
        areas = [math.prod(size) for size in self.sizes]
        return areas[0] + 2 * sum(areas[1:])

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        second: Tensor | None = None,
        crossover: Tensor | None = None,
        noise: Tensor | Noise | None = None,
        with_w: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Z (n, latent), labels (n,) → images (n, c, h, w), about [-1, 1]; with ``with_w`` also their w (n, layers, d).

        Style mixing (section 3 of StyleGAN, arXiv:1812.04948): layers from ``crossover`` (n,) on take the style of
        ``second`` (n, latent). In training ``mean_w`` moves, and noise is random where it is not given.
        """
        if second is None:
            w = self.map(z, labels)
        else:
            both = self.map(torch.cat([z, second]), None if labels is None else labels.repeat(2))
            assert crossover is not None
            late = torch.arange(self.layers, device=z.device) >= crossover[:, None]
            first, other = both.chunk(2)
            w = torch.where(late[:, :, None], other, first)
        if self.training:
            with torch.no_grad():
                self.mean_w.lerp_(w[:, 0].mean(0).to(self.mean_w.dtype), 1 - MEAN_DECAY)
        if noise is None:
            noise = "random" if self.training else "const"
        images = self.synthesize(w, noise)
        return (images, w) if with_w else images

    def latent_weights(self) -> Tensor:
        """What w is first multiplied by: the style matrices of all layers, one below the other (outputs, styles)."""
        styled = [layer for layer in self.modules() if isinstance(layer, StyledConv | ToOutput)]
        return torch.cat([layer.style.weight * layer.style.scale for layer in styled])

    def map(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,) → w (n, layers, styles), the same style for every layer."""
        w: Tensor = self.mapping(z, labels)
        return w[:, None].expand(-1, self.layers, -1)

    def synthesize(self, w: Tensor, noise: Tensor | Noise = "const") -> Tensor:
        """W (n, layers, styles) → images (n, c, h, w), float32.

        ``noise``: (n, noise_size) or (1, noise_size) values of N(0, 1), or ``random`` (drawn here), ``const`` (always
        the same), ``none``.
        """
        maps = self._noise_maps(noise, w)
        x = self.constant.expand(len(w), -1, -1, -1)
        x = self.first(self._laid_out(x), w[:, 0], maps[0])
        image: Tensor = self.to_image(x, w[:, 1])
        for i, block in enumerate(self.blocks):
            styles = (w[:, 2 * i + 1], w[:, 2 * i + 2], w[:, 2 * i + 3])
            x, image = block(x, image, styles, (maps[2 * i + 1], maps[2 * i + 2]))
        return center_crop(image, *self.size)

    def _laid_out(self, x: Tensor) -> Tensor:
        """As the weights lie: what follows keeps it."""
        last = self.first.weight.is_contiguous(memory_format=torch.channels_last)
        return x.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    def _noise_maps(self, noise: Tensor | Noise, w: Tensor) -> list[Tensor | None]:
        sizes = [self.sizes[0], *(size for size in self.sizes[1:] for _ in range(2))]
        if isinstance(noise, str) and noise == "none":
            return [None] * len(sizes)
        if isinstance(noise, str):
            drawn = noise == "random"
            noise = torch.randn(len(w), self.noise_size, device=w.device) if drawn else self.constant_noise
        parts = torch.split(noise, [math.prod(size) for size in sizes], 1)
        return [part.view(-1, 1, *size) for part, size in zip(parts, sizes, strict=True)]


class ResidualBlock(nn.Module):
    """Half the size by two 3 × 3 convolutions, beside a 1 × 1 one; their sum over √2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = math.sqrt(0.5)
        self.first = EqualConv(inputs, inputs, 3)
        self.second = EqualConv(inputs, outputs, 3, down=True, gain=half)
        self.shortcut = EqualConv(inputs, outputs, 1, down=True, activate=False, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, inputs, h, w) → (n, outputs, ⌈h/2⌉, ⌈w/2⌉)."""
        y: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return y


class Discriminator(nn.Module):
    """Images → residual blocks down to about 4 × 4 → how much the batch varies → one logit.

    With classes the logit is ⟨features, map(class)⟩/√d, by a mapping network of its own (public code of Karras et al.
    2020, arXiv:2006.06676). ``group`` images are compared by the minibatch standard deviation; 0: none.
    """

    memory_format = torch.channels_last

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config, classes, styles, group = config, config.classes, config.styles, config.group
        channels, size = config.shape[0], config.shape[1:]
        levels = math.ceil(math.log2(max(2, min(size) / 4)))
        widths = widths_at(levels, config.width, config.max_channels)[::-1]
        last = widths[-1]
        self.from_image = EqualConv(channels, widths[0], 1)
        self.blocks = nn.Sequential(*(ResidualBlock(i, o) for i, o in pairwise(widths)))
        self.spread = MinibatchSpread(group) if group else nn.Identity()
        self.group = group
        self.last = EqualConv(last + bool(group), last, 3)
        self.features = EqualLinear(last * math.prod(coarse(*size, levels)), last, activate=True)
        self.mapping = Mapping(0, classes, styles, config.d_mapping_layers) if classes else None
        self.logits = EqualLinear(last, styles if classes else 1)

    def lower_layers(self) -> list[nn.Module]:
        """The first layer and each residual block, from the image on."""
        return [self.from_image, *self.blocks]

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, c, h, w) in [-1, 1], labels (n,) → logits (n,), float32."""
        x = self.last(self.spread(self.blocks(self.from_image(images))))
        y: Tensor = self.logits(self.features(x.flatten(1)))
        if self.mapping is None:
            return y.squeeze(1)
        wanted: Tensor = self.mapping(None, labels)
        return (y * wanted).sum(1) / math.sqrt(y.shape[1])
