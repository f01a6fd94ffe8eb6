"""What enters a Transformer: the foot of the figure, for tokens, codebooks and vectors."""

from __future__ import annotations

import math
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.core.errors import UsageError
from luoxia.nn.attention import normalization
from luoxia.nn.dropout import Dropout
from luoxia.nn.positions import PositionEmbedding, Table, sinusoid
from luoxia.nn.transformer_config import TransformerConfig


class CodebookEmbedding(nn.Embedding):
    """A position's codes, one from each of K codebooks, as the sum of their vectors.

    ``vocabulary`` is that of one codebook's inputs; it may be larger than what a head predicts, by the codes that only
    fill a pattern. The weight (K · vocabulary, width) holds one codebook after the other.
    """

    def __init__(self, codebooks: int, vocabulary: int, width: int) -> None:
        super().__init__(codebooks * vocabulary, width)
        self.codebooks = codebooks

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (n, t, K) → (n, t, width)."""
        if ids.shape[-1] != self.codebooks:
            raise UsageError(f"ids of {ids.shape[-1]} codebooks for a network of {self.codebooks}")
        books = self.weight.view(
            self.codebooks, -1, self.embedding_dim
        ).unbind()  # each refuses the ids of the next
        parts = zip(ids.unbind(-1), books, strict=True)
        return reduce(torch.add, [F.embedding(codes, book) for codes, book in parts])


class VectorEmbedding(nn.Module):
    """Vectors of another width, such as patches or another network's states, by a matrix and a bias.

    No hidden layer: AdamW trains it where Muon trains those. The result has the weights' dtype under autocast too, for
    what follows is added to it.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, inputs))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.weight, 0.0, inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """X (..., inputs) → (..., width)."""
        return F.linear(x, self.weight, self.bias).to(self.weight.dtype)


class Embedding(nn.Module):
    """The input as vectors, a prefix before them, and where each position is.

    ``tokens`` maps the input to (n, t, width): token ids, unless another module is given: a `CodebookEmbedding`, a
    `VectorEmbedding`, or ``nn.Identity()`` for vectors that have the width already.
    """

    def __init__(self, config: TransformerConfig, tokens: nn.Module | None = None) -> None:
        super().__init__()
        self.scale = math.sqrt(config.width) if config.embedding_scale else 1.0
        self.tokens = nn.Embedding(config.vocabulary, config.width) if tokens is None else tokens
        self.types = nn.Embedding(config.token_types, config.width) if config.token_types else None
        self.positions: nn.Embedding | Table | None = None
        if config.positions == "learned":
            self.positions = PositionEmbedding(config.context, config.grid, config.width)
        elif config.positions == "sinusoidal":
            self.positions = Table(sinusoid, config.context, config.width)
        self.norm = normalization(config) if config.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        inputs: Tensor | None,
        positions: Tensor,
        types: Tensor | None = None,
        prefix: Tensor | None = None,
    ) -> Tensor:
        """What ``tokens`` takes (n, t, ...) or None for a prefix alone → (n, p + t, width).

        Positions (p + t,) or (n, p + t), on a grid (..., p + t, axes); types (n, p + t) or None for all 0; prefix
        (n, p, width).
        """
        x = prefix
        if inputs is not None:
            x = self.tokens(inputs)
            if self.scale != 1.0:
                x = x * self.scale
            if prefix is not None:
                x = torch.cat([prefix, x], 1)
        assert x is not None, "an input, a prefix or both"
        if self.positions is not None:
            x = x + self.positions(positions).to(x.dtype)
        if self.types is not None:
            x = x + (self.types.weight[0] if types is None else self.types(types))
        out: Tensor = self.dropout(self.norm(x))
        return out
