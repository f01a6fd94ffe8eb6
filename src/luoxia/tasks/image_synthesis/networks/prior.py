"""The network of ``image-gpt``: tokens of a grid from conditions before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from luoxia.nn.grid_decoder import GridDecoder
from luoxia.tasks.image_synthesis.conditions import ConditionBatch
from luoxia.tasks.image_synthesis.networks.conditioner import ImageConditioner
from luoxia.tasks.image_synthesis.spec import ConditionSpec


class Prior(nn.Module):
    """p(tokens of an image | class, fields, text), in any order of the tokens.

    ``grid`` (rows, columns), ``vocabulary`` and ``codebooks`` are those of a codec's tokens; ``sizes``: width, layers,
    heads, dropout.
    """

    def __init__(
        self,
        spec: ConditionSpec,
        grid: Sequence[int],
        vocabulary: int,
        codebooks: int = 1,
        *,
        condition_dropout: float = 0.1,
        **sizes: Any,
    ) -> None:
        super().__init__()
        self.conditioner = ImageConditioner(spec, sizes["width"], condition_dropout)
        self.decoder = GridDecoder(grid, vocabulary, codebooks, prefix=self.conditioner.length, **sizes)

    def forward(self, tokens: Tensor, order: Tensor, conditions: ConditionBatch) -> Tensor:
        """Tokens (n, t, codebooks) in their ``order`` (n, t) → logits (n, t, codebooks, vocabulary)."""
        logits: Tensor = self.decoder(tokens, order, self.conditioner(conditions))
        return logits
