"""Transformers that understand text: its class, and what means the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from luoxia.config import Place, Unset, Whole
from luoxia.recipe import Average, Optimiser, Schedule
from luoxia.recipes.text import TextRecipe

if TYPE_CHECKING:
    from luoxia.data.text.spec import TextSpec
    from luoxia.networks.transformer import Encoder
    from luoxia.objectives.understanding import Classification, Contrastive


class Understanding(TextRecipe):
    """What both recipes share: a modern encoder (rotary, RMSNorm, QK-norm, ReLU²), trained from scratch on little data.

    Its optimiser is ``gpt``'s: Muon on the hidden matrices (Jordan et al. 2024), AdamW on the rest.
    """

    longest: Whole = Field(
        128, ge=4, le=2**20, description="tokens of a text that are read; the rest is cut off"
    )
    layers: Annotated[Whole | None, Unset] = 2
    dropout: float = 0.1
    holdout: float = Field(0.1, ge=0, le=0.5, description="share of the data kept from training")
    score_samples: Whole = Field(1000, ge=0, description="held-out examples in the final scores, at most")
    steps: Whole = 1000
    score_every: Whole = 250
    lr: float = 0.02
    optimiser: Optimiser = Optimiser(name="muon", adam_lr=4e-3, betas=(0.9, 0.95))
    schedule: Schedule = Schedule(name="linear", final=0.05)

    def encoder(self, vocabulary: int) -> Encoder:
        """The network below the pooling."""
        from luoxia.networks.transformer import Encoder

        return Encoder(self.modern(vocabulary, self.longest))


class ClassifyText(Understanding):
    """A text's class: an encoder, the mean of its states, a linear head."""

    name: ClassVar[str] = "classify-text"
    title: ClassVar[str] = "text classifier"
    source: ClassVar[str] = "Vaswani et al. 2017, arXiv:1706.03762; Devlin et al. 2019, arXiv:1810.04805"

    data: Annotated[str | None, Place] = Field(
        None, description="a folder of class folders of texts, or .json, .jsonl, .csv or .tsv with label="
    )
    text: Annotated[str | None, Unset] = Field(None, description="field that holds the text; text if unset")
    label: Annotated[str | None, Unset] = Field(
        None, description="field that holds the class; unset: the folders are the classes"
    )
    batch: Whole = Field(4096, ge=16, le=2**20, description="tokens in a batch, padding counted")
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing")
    ema: Average = Average(halflife=400_000, ramp=0.1)  # in tokens read

    def build_generator(self, data: TextSpec) -> Any:
        """Encoder and head."""
        from luoxia.networks.pooling import SentenceClassifier

        return SentenceClassifier(self.encoder(data.vocabulary), data.classes)

    def build(self, data: TextSpec) -> Classification:
        """The class of each text."""
        from luoxia.objectives.understanding import Classification

        return Classification(self.trainable(self.build_generator(data)), self.smoothing)


class EmbedText(Understanding):
    """Sentence embeddings: texts that mean the same lie together, all others of a batch apart."""

    name: ClassVar[str] = "embed-text"
    title: ClassVar[str] = "contrastive sentence embeddings"
    source: ClassVar[str] = (
        "van den Oord et al. 2018, arXiv:1807.03748; Reimers & Gurevych 2019; Gao et al. 2021"
    )

    data: Annotated[str | None, Place] = Field(
        None, description="texts, line by line, with against=; or a .tsv of two columns"
    )
    against: Annotated[str | None, Place] = Field(
        None, description="texts that mean the same, line by line; unset: data has two columns"
    )
    batch: Whole = Field(
        128, ge=2, le=2**20, description="pairs a step and process: each has the others as wrong answers"
    )
    temperature: float = Field(0.05, gt=0, le=1, description="of the softmax over cosines")
    ema: Average = Average(halflife=10_000, ramp=0.1)  # in pairs

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
        from luoxia.networks.pooling import SentenceEncoder

        return SentenceEncoder(self.encoder(data.vocabulary))

    def build(self, data: TextSpec) -> Contrastive:
        """Which text of the batch means the same."""
        from luoxia.objectives.understanding import Contrastive

        return Contrastive(self.trainable(self.build_generator(data)), self.temperature)
