"""Sentence embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from luoxia.core.values import Place, Whole
from luoxia.tasks.shared.understanding_recipe import Understanding
from luoxia.training.recipe import Average

if TYPE_CHECKING:
    from luoxia.media.text.spec import TextSpec
    from luoxia.tasks.text_embedding.objective import Contrastive


class EmbedText(Understanding):
    """Sentence embeddings: texts that mean the same lie together, all others of a batch apart."""

    name: ClassVar[str] = "embed-text"
    title: ClassVar[str] = "contrastive sentence embeddings"
    source: ClassVar[str] = (
        "van den Oord et al. 2018, arXiv:1807.03748; Reimers & Gurevych 2019; Gao et al. 2021"
    )
    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "against", "out", "preset", "steps", "budget", "batch", "lr", "tokenizer", "device",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {"objective": ("temperature",)}

    per_run: ClassVar[tuple[str, ...]] = (*Understanding.per_run, "against")

    data: Annotated[str | None, Place] = Field(
        None, description="texts, line by line, with against=; or a .tsv of two columns"
    )
    against: Annotated[str | None, Place] = Field(
        None, description="texts with the same meaning, line by line; if unset, data has two columns"
    )
    batch: Whole = Field(
        128, ge=2, le=2**20, description="pairs per step and process; each has the others as negatives"
    )
    temperature: float = Field(0.05, gt=0, le=1, description="temperature of the softmax over cosines")
    ema: Average = Average(half_life=10_000, warmup_share=0.1)  # in pairs

    @model_validator(mode="after")
    def _contrasts_whole_batches(self) -> Self:
        if self.accumulate > 1:
            raise ValueError(
                f"accumulate={self.accumulate} would leave a text only the others of its part as wrong answers: "
                "raise batch= instead, with checkpoint_activations=true if memory runs out"
            )
        return self

    def build_generator(self, data: TextSpec) -> Any:
        """One encoder for both sides."""
        from luoxia.nn.pooling import SentenceEncoder

        return SentenceEncoder(self.encoder(data.vocabulary))

    def build(self, data: TextSpec) -> Contrastive:
        """Which text of the batch means the same."""
        from luoxia.tasks.text_embedding.objective import Contrastive

        return Contrastive(self.trainable(self.build_generator(data)), self.temperature)
