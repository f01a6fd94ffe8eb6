"""What leaves a Transformer: the last linear layer, to the tokens of one vocabulary or of several codebooks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luoxia.nn.linear import project
from luoxia.nn.transformer_config import TransformerConfig


def finish(products: Tensor, softcap: float, codebooks: int | None) -> Tensor:
    """Products (n, t, K · vocabulary) → logits (n, t, vocabulary), or (n, t, K, vocabulary) of K ``codebooks``."""
    if softcap:
        products = softcap * torch.tanh(products.float() / softcap)
    return products if codebooks is None else products.view(*products.shape[:-1], codebooks, -1)


class Head(nn.Module):
    """The last linear layer; tied, it has no matrix of its own (section 3.4).

    ``codebooks``: K heads at once, one for each codebook; None: one head, whose logits have no such axis.
    """

    def __init__(self, config: TransformerConfig, codebooks: int | None = None) -> None:
        super().__init__()
        self.codebooks, self.vocabulary = codebooks, config.vocabulary
        rows = config.vocabulary * (codebooks or 1)
        self.weight = None if config.tied else nn.Parameter(torch.empty(rows, config.width))
        self.softcap = config.softcap

    def fits(self, embedding_weight: Tensor | None) -> bool:
        """Whether the embedding's matrix, or None, will do: a tied head needs all of its rows in it."""
        if self.weight is not None:
            return True
        if embedding_weight is None:
            return False
        ids, uneven = divmod(len(embedding_weight), self.codebooks or 1)
        return not uneven and ids >= self.vocabulary

    def matrix(self, embedding_weight: Tensor | None) -> Tensor:
        """The matrix (K · vocabulary, width), of its own or out of the embedding's."""
        if self.weight is not None:
            return self.weight
        assert embedding_weight is not None
        codebooks = self.codebooks or 1
        if len(embedding_weight) == codebooks * self.vocabulary:
            return embedding_weight
        # with ids that are read, but never predicted
        books = embedding_weight.view(codebooks, -1, embedding_weight.shape[1])
        return books[:, : self.vocabulary].flatten(0, 1)

    def forward(self, hidden: Tensor, embedding_weight: Tensor | None) -> Tensor:
        """Hidden (n, t, width), the embedding's matrix, which a tied head needs → logits; see `finish`."""
        return finish(project(hidden, self.matrix(embedding_weight)), self.softcap, self.codebooks)
