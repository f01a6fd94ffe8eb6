"""Conditions: sequences of vectors that a Transformer reads as a prefix or by cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luoxia.core.errors import UsageError


@dataclass(frozen=True)
class Condition:
    """Vectors (n, s, width), and which of them are real: mask (n, s) bool, one at least in a row; None = all."""

    vectors: Tensor
    mask: Tensor | None = None

    @property
    def length(self) -> int:
        """Vectors in a row, padding included."""
        return self.vectors.shape[1]

    @property
    def start(self) -> Tensor | None:
        """Of a condition whose real vectors stand last: the index (n,) of each row's first; None where all are real."""
        return None if self.mask is None else self.length - self.mask.sum(1)

    def real_last(self) -> Condition:
        """The same with the padding of each row moved to its beginning, as a prefix needs it."""
        if self.mask is None:
            return self
        order = self.mask.long().argsort(dim=1, stable=True)
        vectors = self.vectors.gather(1, order[..., None].expand_as(self.vectors))
        return Condition(vectors, self.mask.gather(1, order))


def join(conditions: Sequence[Condition]) -> Condition:
    """Several conditions of the same rows as one, in their order."""
    mask = None
    if any(condition.mask is not None for condition in conditions):
        ones = [c.vectors.new_ones(c.vectors.shape[:2], dtype=torch.bool) for c in conditions]
        mask = torch.cat(
            [one if c.mask is None else c.mask for c, one in zip(conditions, ones, strict=True)], 1
        )
    return Condition(torch.cat([condition.vectors for condition in conditions], 1), mask)


class Conditioner(nn.Module):
    """A condition from what ``content`` makes vectors of, or one learned vector where there is none.

    ``content`` maps values (n, s, ...) to vectors (n, s, width), or one value a row to (n, width): an ``nn.Embedding``
    of classes or of tokens, a `VectorEmbedding` of another network's vectors.

    In training each row goes without its condition with the probability ``dropout``, for classifier-free guidance (Ho &
    Salimans 2022, arXiv:2207.12598, algorithm 1). With ``dropout`` = 0 there is no vector for none.
    """

    def __init__(self, content: nn.Module, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.content = content
        self.none = nn.Parameter(0.02 * torch.randn(width)) if dropout else None
        self.dropout = dropout

    def forward(self, values: Tensor, mask: Tensor | None = None, absent: Tensor | None = None) -> Condition:
        """Values, mask (n, s) bool with True = real, absent (n,) bool with True = no condition → (n, s, width).

        A row that is absent, dropped, or has no real value is the learned vector alone, in its last place.
        """
        vectors: Tensor = self.content(values)
        if vectors.dim() == 2:
            vectors = vectors[:, None]
        if self.none is None:
            if absent is not None:
                raise UsageError(
                    "absent= needs a Conditioner with dropout above 0, which learns a vector for none"
                )
            return Condition(vectors, mask)
        absent = self._without(len(vectors), mask, absent)
        if absent is None:
            return Condition(vectors, mask)
        vectors = torch.where(absent[:, None, None], self.none, vectors.to(self.none.dtype))
        if vectors.shape[1] == 1:  # the value or the vector for none: nothing is padding
            return Condition(vectors)
        last = torch.arange(vectors.shape[1], device=vectors.device) == vectors.shape[1] - 1
        real = torch.ones_like(absent)[:, None] if mask is None else mask
        return Condition(vectors, torch.where(absent[:, None], last, real))

    def without(self, rows: int) -> Condition:
        """The condition of rows that have none: (rows, 1, width)."""
        if self.none is None:
            raise UsageError(
                "a Conditioner without dropout has learned no vector for none: train it with dropout=0.1"
            )
        return Condition(self.none.expand(rows, 1, -1))

    def _without(self, rows: int, mask: Tensor | None, absent: Tensor | None) -> Tensor | None:
        """Which rows (n,) go without; None: none of them does."""
        device = self.none.device if self.none is not None else None
        reasons = [] if absent is None else [absent]
        if mask is not None:
            reasons.append(~mask.any(1))
        if self.training:
            reasons.append(torch.rand(rows, device=device) < self.dropout)
        return torch.stack(reasons).any(0) if reasons else None
