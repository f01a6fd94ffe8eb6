"""What recipes of Transformers on text share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from luoxia.core.sections import merge
from luoxia.core.values import Place, Unset, Whole
from luoxia.training.recipe import Average, Presets, Recipe

if TYPE_CHECKING:
    from luoxia.nn.transformer import TransformerConfig


SizeName = Literal["tiny", "small", "base"]


SIZES: dict[str, tuple[int, int, int]] = {"tiny": (4, 4, 128), "small": (6, 6, 384), "base": (12, 12, 768)}
"""Layers, heads and width: a CPU's minutes, a GPU's minutes, GPT-2's smallest."""


class TextRecipe(Recipe):
    """What all recipes on text share."""

    renamed: ClassVar[Mapping[str, str]] = {"tokeniser": "tokenizer"}
    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "out", "preset", "steps", "budget", "batch", "lr", "tokenizer", "seed", "device",
    )  # fmt: skip
    presets: ClassVar[Presets] = {name: {"size": name} for name in SIZES}
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("tokenizer", "vocabulary", "holdout", "allow_skipped"),
        "scores": ("score_samples",),
        "machine": ("checkpoint_activations",),
    }
    per_run: ClassVar[tuple[str, ...]] = (
        "tokenizer", "vocabulary", "holdout", "allow_skipped", "score_samples",
    )  # fmt: skip
    deterministic_on_gpu: ClassVar[bool] = False  # attention is so only under deterministic=on
    from_base: ClassVar[tuple[str, ...]] = ("tokenizer", "vocabulary")
    """Keys that the model at ``init`` settles."""

    data: Annotated[str | None, Place] = Field(
        None, description="text to learn from; Python's own documentation if unset"
    )
    size: SizeName = Field(
        "tiny",
        description="another name for preset: layers, heads, width: tiny 4, 4, 128; small 6, 6, 384; base 12, 12, 768",
    )
    layers: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=1024, description="blocks; set by preset if unset"
    )
    heads: Annotated[Whole | None, Unset] = Field(
        None, ge=1, description="attention heads; set by preset if unset"
    )
    width: Annotated[Whole | None, Unset] = Field(
        None, ge=2, le=2**16, description="model width (d_model); set by preset if unset"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of embeddings and sub-layers")
    tokenizer: Literal["byte", "character", "bpe", "unigram"] = Field(
        "bpe", description="byte, character, bpe or unigram, trained on the data"
    )
    vocabulary: Whole = Field(4096, ge=260, le=2**20, description="vocabulary size (bpe, unigram)")
    holdout: float = Field(0.05, ge=0, le=0.5, description="share of the text kept from training")
    allow_skipped: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of broken rows or lines above which the data is refused",
    )
    score_samples: Whole = Field(
        64, ge=0, description="texts generated for the final scores; 0: only score held-out text"
    )
    checkpoint_activations: bool = Field(
        False,
        description="recompute each layer in the backward pass instead of keeping its activations: less memory",
    )
    sample_every: Whole = 500
    ema: Average = Average(half_life=0)

    @classmethod
    def filled(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """``size`` is another name of ``preset``."""
        size = given.get("size")
        if size not in cls.presets or given.get("preset") is not None:
            return super().filled(given)
        if size in SIZES:
            return merge(cls.presets[size], given)
        return super().filled(
            {**{key: value for key, value in given.items() if key != "size"}, "preset": size}
        )

    @model_validator(mode="after")
    def _settled_once(self) -> Self:
        for key in self.from_base if self.init is not None else ():
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}= is that of the model at init={self.init}: leave it out")
        return self

    def trainable(self, network: Any) -> Any:
        """The network, set to keep or to recompute its activations."""
        from luoxia.nn.transformer import Transformer

        for module in network.modules():
            if isinstance(module, Transformer):
                module.checkpointing = self.checkpoint_activations
        return network

    def dimensions(self) -> dict[str, Any]:
        """Layers, heads, width, and dropout."""
        layers, heads, width = SIZES[self.size]
        sizes = {"layers": self.layers or layers, "heads": self.heads or heads, "width": self.width or width}
        return sizes | {"dropout": self.dropout}

    def modern(self, vocabulary: int, context: int) -> TransformerConfig:
        """A network of today: rotary positions, RMSNorm, QK-norm, ReLU²."""
        from luoxia.nn.transformer import TransformerConfig

        return TransformerConfig(
            vocabulary,
            **self.dimensions(),
            context=context,
            norm_affine=False,
            qk_norm=True,
            activation="relu2",
            tied=False,
            init="zero",
        )
