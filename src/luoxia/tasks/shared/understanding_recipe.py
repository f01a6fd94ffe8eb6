"""What recipes share that understand text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from luoxia.core.values import Unset, Whole
from luoxia.tasks.shared.token_recipe import TextRecipe
from luoxia.training.recipe import Optimizer, Schedule

if TYPE_CHECKING:
    from luoxia.nn.transformer_config import TransformerConfig


class Understanding(TextRecipe):
    """What both recipes share: a modern encoder (rotary, RMSNorm, QK-norm, ReLU²), trained from scratch on little data.

    Its optimizer is ``gpt``'s: Muon on the hidden matrices (Jordan et al. 2024), AdamW on the rest.
    """

    renamed: ClassVar[Mapping[str, str]] = {"longest": "max_length"}
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {"data": ("text", "label", "max_length")}

    max_length: Whole = Field(
        128, ge=4, le=2**20, description="tokens of a text that are read; the rest is cut"
    )
    layers: Annotated[Whole | None, Unset] = 2
    dropout: float = 0.1
    holdout: float = Field(0.1, ge=0, le=0.5, description="share of the data kept from training")
    score_samples: Whole = Field(
        1000, ge=0, description="at most so many held-out examples in the final scores"
    )
    steps: Whole = 1000
    score_every: Whole = 250
    lr: float = 0.02
    optimizer: Optimizer = Optimizer(name="muon", adam_lr=4e-3, betas=(0.9, 0.95))
    schedule: Schedule = Schedule(name="linear", final=0.05)

    def encoder(self, vocabulary: int) -> TransformerConfig:
        """Sizes of the network below the pooling."""
        return self.modern(vocabulary, self.max_length)
