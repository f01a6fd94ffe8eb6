"""Transformers on text: a language model, a translator."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from luoxia.config import Place, Unset, Whole, Words, merge
from luoxia.recipe import Average, Optimiser, Recipe, Schedule

if TYPE_CHECKING:
    from luoxia.data.text.spec import TextSpec
    from luoxia.networks.transformer import Shape
    from luoxia.objectives.language import LanguageModel, Translation

SizeName = Literal["tiny", "small", "base"]
SIZES: dict[str, tuple[int, int, int]] = {"tiny": (4, 4, 128), "small": (6, 6, 384), "base": (12, 12, 768)}
"""Layers, heads and width: a CPU's minutes, a GPU's minutes, GPT-2's smallest."""

CLASSIC: dict[str, Any] = {
    "lr": 1e-3,
    "optimiser": {"name": "adamw", "betas": (0.9, 0.99), "weight_decay": 0.1, "clip": 1.0},
    "schedule": {"name": "cosine", "warmup": 100, "final": 0.1},
}
"""How GPT-2's kind is trained (Brown et al. 2020, appendix B), at a small model's learning rate."""
VASWANI: dict[str, Any] = {
    "lr": 1e-3,
    "optimiser": {"name": "adam", "betas": (0.9, 0.98), "eps": 1e-9, "clip": 1.0},
    "schedule": {"name": "inverse_sqrt", "warmup": 400},
    "ema": {"halflife": 0},
    "average_checkpoints": 5,
    "checkpoint_every": 100,
}
"""How the first Transformer was trained (Vaswani et al. 2017, sections 5.3 and 6.1), for a small model's few steps."""
TUNED: dict[str, Any] = {
    "lr": 6.25e-5,
    "optimiser": {"name": "adamw", "betas": (0.9, 0.999), "weight_decay": 0.01, "clip": 1.0},
    "schedule": {"name": "cosine", "warmup": 50, "final": 0.1},
}
"""How a trained model is gone on with (Radford et al. 2018, section 4.1, for the learning rate)."""
ADAPTED: dict[str, Any] = {**TUNED, "lr": 2e-4}
"""The same through LoRA (Hu et al. 2021, table 11)."""


class TextRecipe(Recipe):
    """What all recipes on text share."""

    data: Annotated[str | None, Place] = Field(
        None, description="text to learn from; Python's own documentation if unset"
    )
    size: SizeName = Field(
        "tiny", description="layers, heads, width: tiny 4, 4, 128; small 6, 6, 384; base 12, 12, 768"
    )
    layers: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=1024, description="blocks; by size if unset"
    )
    heads: Annotated[Whole | None, Unset] = Field(None, ge=1, description="attention heads; by size if unset")
    width: Annotated[Whole | None, Unset] = Field(
        None, ge=2, le=2**16, description="d_model; by size if unset"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of embeddings and sub-layers")
    tokeniser: Literal["byte", "character", "bpe", "unigram"] = Field(
        "bpe", description="byte, character, bpe or unigram, trained on the data"
    )
    vocabulary: Whole = Field(4096, ge=260, le=2**20, description="tokens in all (bpe, unigram)")
    holdout: float = Field(0.05, ge=0, le=0.5, description="share of the text kept from training")
    allow_skipped: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of the rows or lines that may be broken; beyond, the data is refused",
    )
    score_samples: Whole = Field(
        64, ge=0, description="texts of the final scores; 0: only predict held-out text"
    )
    checkpoint_activations: bool = Field(
        False,
        description="compute each layer again on the way back instead of keeping its inside: less memory",
    )
    sample_every: Whole = 500
    ema: Average = Average(halflife=0)

    def trainable(self, network: Any) -> Any:
        """The network, set to keep or to recompute its activations."""
        from luoxia.networks.transformer import Transformer

        for module in network.modules():
            if isinstance(module, Transformer):
                module.checkpointing = self.checkpoint_activations
        return network

    def dimensions(self) -> dict[str, Any]:
        """Layers, heads, width, and dropout."""
        layers, heads, width = SIZES[self.size]
        sizes = {"layers": self.layers or layers, "heads": self.heads or heads, "width": self.width or width}
        return sizes | {"dropout": self.dropout}

    def modern(self, vocabulary: int, context: int) -> Shape:
        """A network of today: rotary positions, RMSNorm, QK-norm, ReLU²."""
        from luoxia.networks.transformer import Shape

        return Shape(
            vocabulary,
            **self.dimensions(),
            context=context,
            norm_affine=False,
            qk_norm=True,
            activation="relu2",
            tied=False,
            init="zero",
        )


FORM = ("size", "style", "layers", "heads", "width", "tokeniser", "vocabulary")
"""Keys that a model to go on from has settled."""


class GPT(TextRecipe):
    """A decoder that writes on: each token from those before it."""

    name: ClassVar[str] = "gpt"
    title: ClassVar[str] = "decoder-only language model"
    source: ClassVar[str] = "Radford et al. 2019; rotary, QK-norm, ReLU², Muon after Jordan et al. 2024"
    published: ClassVar[str] = "style=gpt2 size=base context=1024 batch=512 lr=6e-4 steps=600000"

    style: Literal["modern", "gpt2"] = Field(
        "modern",
        description="modern: rotary positions, RMSNorm, QK-norm, ReLU², Muon; gpt2: the classic, AdamW",
    )
    condition: Words = Field(
        (), description="fields that state what a text is to be, joined by commas: form,author; none if unset"
    )
    target: Annotated[str | None, Unset] = Field(
        None, description="the field that holds the text; text if unset"
    )
    condition_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of rows learnt without a field, and without all, to do without them",
    )
    init: Annotated[str | None, Place] = Field(
        None, description="a run or Hugging Face folder to go on from, its form and its tokeniser taken over"
    )
    lora: Whole = Field(
        0, ge=0, le=2**16, description="with init: train adapters of this rank only; 0: all weights"
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
    optimiser: Optimiser = Optimiser(name="muon", adam_lr=4e-3, betas=(0.9, 0.95))
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
        for key in FORM:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}= is that of the model at init={self.init}: leave it out")
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

    def shape(self, vocabulary: int) -> Shape:
        """The network's form."""
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
        """The decoder, of the recipe's form or of that of the model it goes on from."""
        from luoxia.networks.transformer import Decoder, Shape

        return Decoder(self.shape(data.vocabulary) if data.shape is None else Shape(**data.shape))

    def build(self, data: TextSpec) -> LanguageModel:
        """The next token, on documents packed into rows."""
        from luoxia.objectives.language import LanguageModel

        return LanguageModel(self.trainable(self.build_generator(data)))


class Translate(TextRecipe):
    """A sentence into its counterpart: encoder and decoder, as the Transformer was first made."""

    name: ClassVar[str] = "translate"
    title: ClassVar[str] = "encoder–decoder translator"
    source: ClassVar[str] = "Vaswani et al. 2017, arXiv:1706.03762"
    published: ClassVar[str] = (
        "style=vaswani layers=6 heads=8 width=512 dropout=0.1 batch=25000 steps=100000 lr=7e-4 schedule.warmup=4000 "
        "checkpoint_every=1500"
    )

    against: Annotated[str | None, Place] = Field(
        None, description="the other language, line by line; unset: data has two columns"
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
        2048, ge=64, le=2**20, description="tokens of the longer side in a batch, padding counted"
    )
    longest: Whole = Field(
        128, ge=4, le=2**20, description="tokens of the longest sentence that is learnt from"
    )
    score_samples: Whole = 1000
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing")
    steps: Whole = 4000
    lr: float = 0.02
    optimiser: Optimiser = Optimiser(name="muon", adam_lr=3e-3, betas=(0.9, 0.98))
    schedule: Schedule = Schedule(name="cosine", warmup=100, final=0.02)
    ema: Average = Average(halflife=1_000_000, ramp=0.1)  # in target tokens

    @model_validator(mode="before")
    @classmethod
    def _train_in_style(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return merge(VASWANI, given) if given.get("style") == "vaswani" else given

    def shape(self, vocabulary: int) -> Shape:
        """The network's form; one vocabulary for both languages, its embeddings and head shared (section 3.4)."""
        from luoxia.networks.transformer import vaswani

        room = 4 * self.longest  # for translations longer than any sentence seen
        classic = vaswani(vocabulary, **self.dimensions(), context=room)
        if self.style == "vaswani":
            return classic
        return replace(classic, norm="rms", norm_first=True, positions="rotary", bias=False)

    def build_generator(self, data: TextSpec) -> Any:
        """Encoder and decoder."""
        from luoxia.networks.transformer import EncoderDecoder

        return EncoderDecoder(self.shape(data.vocabulary))

    def build(self, data: TextSpec) -> Translation:
        """The next target token, the source in view."""
        from luoxia.objectives.language import Translation

        return Translation(self.trainable(self.build_generator(data)), self.smoothing)
