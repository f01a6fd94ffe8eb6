"""A classifier of texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from luoxia.core.values import Place, Unset, Whole
from luoxia.tasks.shared.understanding_recipe import Understanding
from luoxia.training.recipe import Average

if TYPE_CHECKING:
    from luoxia.media.text.spec import TextSpec
    from luoxia.tasks.text_classification.objective import Classification


class ClassifyText(Understanding):
    """A text's class: an encoder, the mean of its states, a linear head."""

    name: ClassVar[str] = "classify-text"
    title: ClassVar[str] = "text classifier"
    source: ClassVar[str] = "Vaswani et al. 2017, arXiv:1706.03762; Devlin et al. 2019, arXiv:1810.04805"
    renamed: ClassVar[Mapping[str, str]] = {"smoothing": "label_smoothing"}
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {"objective": ("label_smoothing",)}

    per_run: ClassVar[tuple[str, ...]] = (*Understanding.per_run, "text", "label")

    data: Annotated[str | None, Place] = Field(
        None, description="a folder of class folders of texts, or .json, .jsonl, .csv or .tsv with label="
    )
    text: Annotated[str | None, Unset] = Field(None, description="field that holds the text; text if unset")
    label: Annotated[str | None, Unset] = Field(
        None, description="field that holds the class; if unset, the folders are the classes"
    )
    batch: Whole = Field(4096, ge=16, le=2**20, description="tokens per batch, including padding")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing")
    ema: Average = Average(half_life=400_000, warmup_share=0.1)  # in tokens read

    def build_generator(self, data: TextSpec) -> Any:
        """Encoder and head."""
        from luoxia.nn.pooling import ClassifierConfig, SentenceClassifier

        return SentenceClassifier(ClassifierConfig(self.encoder(data.vocabulary), data.classes))

    def build(self, data: TextSpec) -> Classification:
        """The class of each text."""
        from luoxia.tasks.text_classification.objective import Classification

        return Classification(self.trainable(self.build_generator(data)), self.label_smoothing)
