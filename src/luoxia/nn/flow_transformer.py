"""A Transformer that estimates clean data from noisy: plain patches, adaLN, no codec ("JiT", Li & He 2025,
arXiv:2511.13720). It knows no medium: samples are (n, channels, *sizes), of any number of axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn.conditioning import Condition
from luoxia.nn.embedding import Embedding, VectorEmbedding
from luoxia.nn.flow_matching import TimeEmbedding
from luoxia.nn.linear import LastLayer, Linear
from luoxia.nn.patches import cut, patch_grid, put_together
from luoxia.nn.positions import raster
from luoxia.nn.stack import ModulatedBlock
from luoxia.nn.transformer import Encoder, TransformerConfig


class Bottleneck(nn.Module):
    """Patches as vectors, by way of fewer numbers than they have values: what is noise in them finds no room (section
    4.3). Each place adds a vector of its own."""

    def __init__(self, values: int, bottleneck: int, width: int, places: int) -> None:
        super().__init__()
        narrow = bottleneck < min(values, width)
        self.narrow = VectorEmbedding(values, bottleneck if narrow else width)
        self.widen = Linear(bottleneck, width, bias=False) if narrow else nn.Identity()
        self.places = nn.Parameter(0.5 * torch.randn(places, width))

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (n, t, values) → (n, t, width)."""
        out: Tensor = self.widen(self.narrow(patches))
        return out.to(self.places.dtype) + self.places


class FlowTransformer(nn.Module):
    """x̂(z_t, t, condition), for samples (n, channels, *sizes) cut into patches of the sides ``patch``.

    The condition stands before the patches as a prefix, and its mean, with the time, modulates each norm (adaLN).
    ``room`` is the most vectors that a condition has, 0 where there is none.
    """

    def __init__(
        self,
        channels: int,
        sizes: Sequence[int],
        patch: Sequence[int],
        *,
        width: int = 256,
        layers: int = 6,
        heads: int = 4,
        bottleneck: int = 128,
        room: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.sizes, self.patch, self.room = tuple(sizes), tuple(patch), room
        self.grid = patch_grid(sizes, patch)
        values = channels * math.prod(patch)
        first = 1 if room else 0  # of the first axis, for the prefix
        grid = (first + self.grid[0], *self.grid[1:-1], max(room, self.grid[-1]))
        config = TransformerConfig(
            0,
            width=width,
            layers=layers,
            heads=heads,
            context=room + math.prod(self.grid),
            grid=grid if len(self.grid) > 1 else None,
            qk_norm=True,
            activation="relu2",
            dropout=dropout,
            init="xavier",
        )
        embedding = Embedding(config, Bottleneck(values, bottleneck, width, math.prod(self.grid)))
        self.encoder = Encoder(config, embedding, block=ModulatedBlock)
        self.time = TimeEmbedding(width)
        self.summary = Linear(width, width, bias=False) if room else None
        self.last_modulation = LastLayer(width, 2 * width)
        self.to_patches = LastLayer(width, values)
        nn.init.zeros_(self.last_modulation.weight)
        nn.init.zeros_(self.last_modulation.bias)
        nn.init.zeros_(self.to_patches.weight)
        nn.init.zeros_(self.to_patches.bias)

    def forward(self, z: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """z_t (n, channels, *sizes), t (n,) → x̂ (n, channels, *sizes), float32."""
        style = self.time(t)
        if condition is not None and self.summary is not None:
            style = style + self.summary(mean(condition))
        hidden = self.encoder(
            cut(z, self.patch), positions=self.positions(condition), prefix=condition, style=style
        )
        if condition is not None:
            hidden = hidden[:, condition.length :]
        with torch.autocast(z.device.type, enabled=False):  # an estimate near t = 1 must not be rounded
            full = self.to_patches.weight.dtype
            scale, shift = self.last_modulation(F.silu(style.to(full)))[:, None].chunk(2, -1)
            patches = self.to_patches(hidden.to(full) * (1 + scale) + shift)
        return put_together(patches, self.sizes, self.patch)

    def positions(self, condition: Condition | None) -> Tensor | None:
        """Coordinates (p + patches, axes): the condition's in a first row of its own, up to its end.

        None on one axis, where they are counted.
        """
        if len(self.grid) == 1:
            return None
        device = self.to_patches.weight.device
        own = raster(self.grid)
        if not self.room:
            return own.to(device)
        own[:, 0] += 1
        length = 0 if condition is None else condition.length
        before = torch.zeros(length, own.shape[1], dtype=own.dtype)
        before[:, -1] = torch.arange(self.room - length, self.room)
        return torch.cat([before, own]).to(device)


def mean(condition: Condition) -> Tensor:
    """The mean (n, width) of the real vectors of each row."""
    if condition.mask is None:
        return condition.vectors.mean(1)
    real = condition.mask[..., None].to(condition.vectors.dtype)
    return (condition.vectors * real).sum(1) / real.sum(1)
