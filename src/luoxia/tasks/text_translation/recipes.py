"""A translator of sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from luoxia.core.sections import merge
from luoxia.core.values import Place, Unset, Whole
from luoxia.tasks.shared.token_recipe import SizeName, TextRecipe
from luoxia.training.recipe import Average, Optimizer, Presets, Schedule

if TYPE_CHECKING:
    from luoxia.media.text.spec import TextSpec
    from luoxia.nn.transformer import TransformerConfig
    from luoxia.tasks.text_translation.objective import Translation


VASWANI: dict[str, Any] = {
    "lr": 1e-3,
    "optimizer": {"name": "adam", "betas": (0.9, 0.98), "eps": 1e-9, "grad_clip": 1.0},
    "schedule": {"name": "inverse_sqrt", "warmup": 400},
    "ema": {"half_life": 0},
    "average_checkpoints": 5,
    "checkpoint_every": 100,
}
"""How the first Transformer was trained (Vaswani et al. 2017, sections 5.3 and 6.1), for a small model's few steps."""


class Translate(TextRecipe):
    """A sentence into its counterpart: encoder and decoder, as the Transformer was first made."""

    name: ClassVar[str] = "translate"
    title: ClassVar[str] = "encoder–decoder translator"
    source: ClassVar[str] = "Vaswani et al. 2017, arXiv:1706.03762"
    renamed: ClassVar[Mapping[str, str]] = {"longest": "max_length", "smoothing": "label_smoothing"}
    presets: ClassVar[Presets] = {
        "tiny": {"layers": 3, "heads": 4, "width": 256},
        "small": {"size": "small", "layers": None, "heads": None, "width": None},
        "base": {"size": "base", "layers": None, "heads": None, "width": None},
        "vaswani-base": {
            "style": "vaswani", "layers": 6, "heads": 8, "width": 512, "dropout": 0.1, "batch": 25_000,
            "steps": 100_000, "lr": 7e-4, "schedule.warmup": 4000, "checkpoint_every": 1500,
        },
    }  # fmt: skip
    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "against", "out", "preset", "steps", "budget", "batch", "lr", "tokenizer", "device",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("max_length",),
        "objective": ("label_smoothing",),
    }
    per_run: ClassVar[tuple[str, ...]] = (*TextRecipe.per_run, "against")

    against: Annotated[str | None, Place] = Field(
        None, description="the other language, line by line; if unset, data has two columns"
    )
    style: Literal["modern", "vaswani"] = Field(
        "modern", description="modern: pre-norm, RMSNorm, rotary; vaswani: post-norm, LayerNorm, sinusoidal"
    )
    size: SizeName = "tiny"
    layers: Annotated[Whole | None, Unset] = 3
    heads: Annotated[Whole | None, Unset] = 4
    width: Annotated[Whole | None, Unset] = 256
    dropout: float = 0.2
    batch: Whole = Field(
        2048, ge=64, le=2**20, description="tokens per batch, counting the longer side and padding"
    )
    max_length: Whole = Field(128, ge=4, le=2**20, description="sentences with more tokens are left out")
    score_samples: Whole = 1000
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing")
    steps: Whole = 4000
    lr: float = 0.02
    optimizer: Optimizer = Optimizer(name="muon", adam_lr=3e-3, betas=(0.9, 0.98))
    schedule: Schedule = Schedule(name="cosine", warmup=100, final=0.02)
    ema: Average = Average(half_life=1_000_000, warmup_share=0.1)  # in target tokens

    @model_validator(mode="before")
    @classmethod
    def _train_in_style(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        return merge(VASWANI, settings) if settings.get("style") == "vaswani" else settings

    def architecture(self, vocabulary: int) -> TransformerConfig:
        """The architecture; one vocabulary for both languages, its embeddings and head shared (section 3.4)."""
        from luoxia.nn.transformer import vaswani

        room = 4 * self.max_length  # for translations longer than any sentence seen
        classic = vaswani(vocabulary, **self.dimensions(), context=room)
        if self.style == "vaswani":
            return classic
        return replace(classic, norm="rms", norm_first=True, positions="rotary", bias=False)

    def build_generator(self, data: TextSpec) -> Any:
        """Encoder and decoder."""
        from luoxia.nn.transformer import EncoderDecoder

        return EncoderDecoder(self.architecture(data.vocabulary))

    def build(self, data: TextSpec) -> Translation:
        """The next target token, the source in view."""
        from luoxia.tasks.text_translation.objective import Translation

        return Translation(self.trainable(self.build_generator(data)), self.label_smoothing)
