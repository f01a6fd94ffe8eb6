"""A language model, from scratch or from a trained one."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from luoxia.core.sections import merge
from luoxia.core.values import Place, Unset, Whole, Words
from luoxia.tasks.shared.token_recipe import TextRecipe
from luoxia.training.recipe import Optimizer, Presets, Schedule

if TYPE_CHECKING:
    from luoxia.media.text.spec import TextSpec
    from luoxia.nn.transformer import TransformerConfig
    from luoxia.tasks.language_modeling.objective import LanguageModel


CLASSIC: dict[str, Any] = {
    "lr": 1e-3,
    "optimizer": {"name": "adamw", "betas": (0.9, 0.99), "weight_decay": 0.1, "grad_clip": 1.0},
    "schedule": {"name": "cosine", "warmup": 100, "final": 0.1},
}
"""How GPT-2's kind is trained (Brown et al. 2020, appendix B), at a small model's learning rate."""


TUNED: dict[str, Any] = {
    "lr": 6.25e-5,
    "optimizer": {"name": "adamw", "betas": (0.9, 0.999), "weight_decay": 0.01, "grad_clip": 1.0},
    "schedule": {"name": "cosine", "warmup": 50, "final": 0.1},
}
"""How a trained model is fine-tuned (Radford et al. 2018, section 4.1, for the learning rate)."""


ADAPTED: dict[str, Any] = {**TUNED, "lr": 2e-4}
"""The same through LoRA (Hu et al. 2021, table 11)."""


class GPT(TextRecipe):
    """A decoder that writes on: each token from those before it."""

    name: ClassVar[str] = "gpt"
    title: ClassVar[str] = "decoder-only language model"
    source: ClassVar[str] = "Radford et al. 2019; rotary, QK-norm, ReLU², Muon after Jordan et al. 2024"
    presets: ClassVar[Presets] = {
        **TextRecipe.presets,
        "gpt2": {
            "style": "gpt2",
            "size": "base",
            "context": 1024,
            "batch": 512,
            "lr": 6e-4,
            "steps": 600_000,
        },
    }
    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "out", "preset", "context", "steps", "budget", "batch", "lr", "tokenizer", "device",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("condition", "target", "condition_dropout", "context"),
        "from a trained model": ("init", "lora", "lora_alpha"),
    }
    from_base: ClassVar[tuple[str, ...]] = (
        *TextRecipe.from_base, "size", "style", "layers", "heads", "width",
    )  # fmt: skip

    style: Literal["modern", "gpt2"] = Field(
        "modern",
        description="modern: rotary positions, RMSNorm, QK-norm, ReLU², Muon; gpt2: the classic, AdamW",
    )
    condition: Words = Field(
        (), description="fields that describe a text, joined by commas, such as form,author; none if unset"
    )
    target: Annotated[str | None, Unset] = Field(
        None, description="the field that holds the text; text if unset"
    )
    condition_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of rows trained without each field, and without all, so that fields may be left out",
    )
    init: Annotated[str | None, Place] = Field(
        None,
        description="a run, a model folder or a Hugging Face folder: its weights, architecture and tokenizer are used",
    )
    lora: Whole = Field(
        0, ge=0, le=2**16, description="with init: train only adapters of this rank; 0: train all weights"
    )
    lora_alpha: Annotated[float | None, Unset] = Field(
        None, gt=0, description="the adapters count lora_alpha / lora times; twice the rank if unset"
    )
    context: Whole = Field(
        128, ge=2, le=2**20, description="tokens in a row; with init 256, or what its model reads"
    )
    batch: Whole = Field(16, ge=1, le=2**20, description="rows of text a step and process")
    steps: Whole = 3000
    lr: float = 0.02
    optimizer: Optimizer = Optimizer(name="muon", adam_lr=4e-3, betas=(0.9, 0.95))
    schedule: Schedule = Schedule(name="linear", final=0.05)

    @field_validator("condition")
    @classmethod
    def _normal_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(unicodedata.normalize("NFC", name) for name in names)

    @model_validator(mode="after")
    def _condition_apart(self) -> GPT:
        if len(set(self.condition)) < len(self.condition):
            raise ValueError(f"condition={','.join(self.condition)}: name each field once")
        if (self.target or "text") in self.condition:
            raise ValueError(f"condition={','.join(self.condition)} holds the text itself: name other fields")
        return self

    @model_validator(mode="after")
    def _form_from_one_place(self) -> GPT:
        if self.init is None:
            if self.lora or self.lora_alpha is not None:
                raise ValueError("lora= adapts a trained model: name it as init=, or use luoxia finetune")
            return self
        if self.lora_alpha is not None and not self.lora:
            raise ValueError("lora_alpha= needs lora=, the rank of the adapters")
        return self

    @model_validator(mode="before")
    @classmethod
    def _train_in_style(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        defaults = CLASSIC if given.get("style") == "gpt2" else {}
        if given.get("init") is not None:
            defaults = ADAPTED if given.get("lora") not in (None, 0, "0") else TUNED
            if given.get("budget") is None:  # which is the only limit otherwise
                defaults = {"steps": 1000, **defaults}
        return merge(defaults, given)

    def architecture(self, vocabulary: int) -> TransformerConfig:
        """The network's architecture."""
        modern = self.modern(vocabulary, self.context)
        if self.style == "modern":
            return modern
        return replace(
            modern,
            norm="layer",
            norm_affine=True,
            qk_norm=False,
            positions="learned",
            activation="gelu_tanh",
            bias=True,
            tied=True,
            init="gpt2",
        )

    def build_generator(self, data: TextSpec) -> Any:
        """The decoder, of the recipe's architecture or of the base model's."""
        from luoxia.nn.transformer import Decoder, TransformerConfig

        return Decoder(
            self.architecture(data.vocabulary) if data.shape is None else TransformerConfig(**data.shape)
        )

    def build(self, data: TextSpec) -> LanguageModel:
        """The next token, on documents packed into rows."""
        from luoxia.tasks.language_modeling.objective import LanguageModel

        return LanguageModel(self.trainable(self.build_generator(data)))
