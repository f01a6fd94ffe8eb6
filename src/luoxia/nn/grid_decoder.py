"""A causal Transformer over the tokens of a grid, in any order.

The tokens of a row are read in an order of its own, and the one at a place is predicted from those before it (Yu et al.
2024, arXiv:2411.00776: RAR). The vector that predicts a token holds the token before it and the *place* of the one to
come; its query is turned to that place too, so that attention goes by the distance between the place asked for and
those that are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from luoxia.nn.cache import Cache
from luoxia.nn.conditioning import Condition
from luoxia.nn.embedding import CodebookEmbedding, Embedding
from luoxia.nn.head import Head
from luoxia.nn.positions import Pair, Rotary, raster
from luoxia.nn.transformer import Decoder, TransformerConfig, initialize


class PlaceRotary(Rotary):
    """Rotations where queries and keys stand at places of their own: the one asked for, the one that is known."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config.context, config.grid, config.d_k, config.rope_theta)
        self.heads = config.heads

    def forward(self, positions: Tensor) -> Pair:  # type: ignore[override]
        """Positions (n, t, 2, axes), of queries and of keys → cosines and sines (n, t, 2 · heads, width)."""
        cosines, sines = super().forward(positions)  # (n, t, 2, 1, width)
        return self._by_head(cosines), self._by_head(sines)

    def _by_head(self, parts: Tensor) -> Tensor:
        n, t, _, _, width = parts.shape
        return parts.expand(n, t, 2, self.heads, width).reshape(n, t, 2 * self.heads, width)


class GridDecoder(nn.Module):
    """p(token | the tokens before it in the order, their places, its own place, a prefix).

    ``grid``: the sides of the grid, such as (rows, columns), (frames, rows, columns) or (frames,). ``prefix``: the most
    vectors that may stand before the tokens. A place with several ``codebooks`` has a token of each, predicted at once.
    ``sizes`` are those of `TransformerConfig`: width, layers, heads, dropout.

    >>> decoder = GridDecoder((2, 3), vocabulary=10, width=16, layers=1, heads=2)
    >>> order = torch.tensor([[5, 0, 1, 4, 3, 2]])
    >>> decoder(torch.zeros(1, 6, 1, dtype=torch.int64), order).shape
    torch.Size([1, 6, 1, 10])
    """

    def __init__(
        self, grid: Sequence[int], vocabulary: int, codebooks: int = 1, *, prefix: int = 0, **sizes: Any
    ) -> None:
        super().__init__()
        self.grid, self.prefix, self.codebooks = tuple(grid), prefix, codebooks
        self.config = TransformerConfig(
            vocabulary,
            context=prefix + self.places,
            grid=self._table_sides(),
            norm_affine=False,
            qk_norm=True,
            activation="relu2",
            tied=False,
            init="zero",
            **sizes,
        )
        width = self.config.width
        self.decoder = Decoder(
            self.config, Embedding(self.config, nn.Identity()), Head(self.config, codebooks)
        )
        self.decoder.stack.rotary = PlaceRotary(self.config)
        self.tokens = CodebookEmbedding(codebooks, vocabulary, width)
        self.targets = nn.Embedding(self.places, width)
        self.start = nn.Parameter(torch.zeros(width))
        initialize(self, self.config)
        self.register_buffer("coordinates", self._coordinates(), persistent=False)

    coordinates: Tensor

    @property
    def places(self) -> int:
        """Places of the grid."""
        return math.prod(self.grid)

    @property
    def vocabulary(self) -> int:
        """Tokens of a codebook."""
        return self.config.vocabulary

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.start.device

    # ------------------------------------------------------------------ where things stand

    def _table_sides(self) -> tuple[int, ...]:
        """The grid with a first row for the prefix and the start; along one axis they simply come first."""
        room = self.prefix + 1
        if len(self.grid) == 1:
            return (room + self.grid[0],)
        return (1 + self.grid[0], *self.grid[1:-1], max(room, self.grid[-1]))

    def _coordinates(self) -> Tensor:
        """Those of the prefix's room, of the start, and then of all places: (prefix + 1 + places, axes) int64."""
        axes, room = len(self.grid), self.prefix + 1
        first = torch.zeros(room, axes, dtype=torch.int64)
        first[:, -1] = torch.arange(room)
        shift = torch.zeros(axes, dtype=torch.int64)
        shift[0] = room if axes == 1 else 1
        return torch.cat([first, raster(self.grid) + shift])

    def positions(self, own: Tensor, target: Tensor, before: int = 0) -> Tensor:
        """Coordinates (n, before + t, 2, axes) of queries and keys.

        ``own`` (n, t): the place of the token that each vector holds, −1 for the start; ``target`` (n, t): that of the
        token it predicts. ``before``: vectors of a prefix, which stand up to its end.
        """
        pair = self.coordinates[torch.stack([target, own], dim=2) + self.prefix + 1]
        if not before:
            return pair
        prefix = self.coordinates[self.prefix - before : self.prefix]
        return torch.cat([prefix[None, :, None].expand(len(pair), -1, 2, -1), pair], dim=1)

    # ------------------------------------------------------------------ a whole pass, and steps of one

    def forward(self, tokens: Tensor, order: Tensor, prefix: Condition | None = None) -> Tensor:
        """Logits (n, t, codebooks, vocabulary) of each token from those before it.

        ``tokens`` (n, t, codebooks) int64, in their ``order`` (n, t) int64, which holds the place of each, counted with
        the last axis fastest; ``prefix`` what all of them see.
        """
        own = torch.cat([order.new_full((len(order), 1), -1), order[:, :-1]], dim=1)
        return self.step(tokens[:, :-1], own, order, prefix=prefix)

    def begin(self, rows: int, prefix: Condition | None = None) -> Cache:
        """A cache for ``rows`` grids, with the prefix in it."""
        cache = self.decoder.make_cache(rows, (0 if prefix is None else prefix.length) + self.places)
        if prefix is not None:
            nothing = torch.zeros(rows, 0, dtype=torch.int64, device=self.device)
            positions = self.positions(nothing, nothing, prefix.length)
            self.decoder.hidden(None, cache=cache, prefix=prefix, positions=positions)
        return cache

    def step(
        self,
        tokens: Tensor,
        own: Tensor,
        target: Tensor,
        *,
        cache: Cache | None = None,
        prefix: Condition | None = None,
        last: bool = False,
    ) -> Tensor:
        """Logits (n, t, codebooks, vocabulary) of the tokens at ``target`` (n, t).

        ``own`` (n, t) are the places of ``tokens``; where it begins with −1 the start stands first, and there is one
        token less. ``last``: the logits of the last one only, (n, 1, codebooks, vocabulary).
        """
        content = self.tokens(tokens)
        if tokens.shape[1] < own.shape[1]:
            content = torch.cat([self.start.expand(len(own), 1, -1), content], dim=1)
        x = content + self.targets(target)
        before = 0 if prefix is None else prefix.length
        positions = self.positions(own, target, before)
        hidden = self.decoder.hidden(x, cache=cache, prefix=prefix, positions=positions)
        return self.decoder.head(hidden[:, -1:].contiguous() if last else hidden[:, before:])
