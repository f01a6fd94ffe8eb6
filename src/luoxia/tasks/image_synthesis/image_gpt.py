"""The recipe of a Transformer over a codec's tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from luoxia import registry
from luoxia.core.values import Place, Several, Unset, Whole
from luoxia.tasks.image_synthesis.recipes import SynthesisRecipe
from luoxia.training.recipe import Average, Optimizer, Presets, Recipe, Schedule

if TYPE_CHECKING:
    import torch

    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.base import Codec
    from luoxia.tasks.image_synthesis.model import Generator
    from luoxia.tasks.image_synthesis.networks.prior import Prior
    from luoxia.tasks.image_synthesis.spec import ConditionSpec
    from luoxia.tasks.record import ModelRecord

STAGE = "luoxia.tasks.image_synthesis.prior_stage:PriorStage"
CODEC = "image codec"
SHARED = (
    "size", "crop", "channels", "holdout", "extractor", "score_samples", "budget", "seed", "device", "precision",
    "compile", "deterministic", "workers", "log_every", "sample_every", "score_every", "checkpoint_every",
    "keep_checkpoints", "steps", "shift", "mirror", "factor", "quantizer", "levels",
)  # fmt: skip
"""Keys of this recipe that the codec's own stage takes over."""
Levels = Annotated[tuple[Annotated[int, Field(ge=2, le=2**16)], ...], Several]


class ImageGPT(SynthesisRecipe):
    """Tokens of images, each from those before it in a random order, and from what is said of the image."""

    name: ClassVar[str] = "image-gpt"
    title: ClassVar[str] = "Transformer over the tokens of images"
    source: ClassVar[str] = "Esser et al. 2021, arXiv:2012.09841; Yu et al. 2024, arXiv:2411.00776"
    presets: ClassVar[Presets] = {
        "tiny": {"layers": 4, "heads": 4, "width": 128, "codec_width": 32},
        "small": {"layers": 6, "heads": 6, "width": 192},
        "base": {"layers": 12, "heads": 12, "width": 768, "codec_width": 96, "batch": 128},
    }
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "codec": (
            "codec", "codec_share", "codec_steps", "codec_width", "factor", "quantizer", "levels",
        ),
        "network": ("order", "layers", "heads", "width", "dropout"),
        "data": ("views", "shift", "mirror"),
    }  # fmt: skip
    per_run: ClassVar[tuple[str, ...]] = ("codec", "codec_share", "codec_steps", "views")

    codec: Annotated[str | None, Place] = Field(
        None,
        description="a run of image-codec, or of image-gpt, whose codec is used; it trains one first if unset",
    )
    codec_share: float = Field(
        0.4, gt=0, lt=1, description="share of the budget for a codec that it trains first"
    )
    codec_steps: Annotated[Whole | None, Unset] = Field(
        None, ge=1, description="steps of that codec; its share of the budget, or as many as steps, if unset"
    )
    codec_width: Annotated[Whole | None, Unset] = Field(
        None, ge=8, le=1024, description="channels of that codec at half the size; its own default if unset"
    )
    factor: Whole = Field(
        8, description="of that codec: pixels a side that one token stands for: 2, 4, 8, 16"
    )
    quantizer: Literal["fsq", "vq"] = Field("fsq", description="of that codec: fsq rounds, vq learns a book")
    levels: Levels = Field(
        (8, 5, 5, 5),
        description="of that codec, fsq: levels of each channel; their product is the number of codes",
    )
    order: Literal["random", "raster"] = Field(
        "random", description="in which tokens are learned and drawn; random can edit images, raster cannot"
    )
    layers: Whole = Field(6, ge=1, le=1024, description="blocks")
    heads: Whole = Field(6, ge=1, description="attention heads")
    width: Whole = Field(192, ge=8, le=2**16, description="d_model")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of embeddings and sub-layers")
    views: Whole = Field(
        8, ge=1, le=1024, description="times that each image is encoded, all but once moved by some pixels"
    )
    shift: Whole = Field(4, ge=0, le=64, description="pixels that images are moved by at random, at most")
    mirror: bool = Field(False, description="flip half of the images left and right: not for letters")
    batch: Whole = Field(32, ge=1, le=2**20, description="images a step and process")
    steps: Whole = 5000
    lr: float = Field(0.02, gt=0, description="learning rate")
    optimizer: Optimizer = Optimizer(name="muon", adam_lr=4e-3, betas=(0.9, 0.95), grad_clip=1.0)
    schedule: Schedule = Schedule(name="linear", final=0.05)
    ema: Average = Average(half_life=0)
    sample_every: Whole = 500

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if self.init is not None and self.codec is not None:
            raise ValueError(f"codec= is that of the model at init={self.init}: leave it out")
        return self

    @property
    def trains_codec(self) -> bool:
        """Whether it has a stage that does."""
        return self.codec is None and self.init is None

    def stages(self) -> tuple[type[Any], ...]:
        """A codec's where none is named, and the prior's."""
        from luoxia.tasks.base import imported
        from luoxia.tasks.nested import nested_stage

        prior = imported(STAGE)
        if not self.trains_codec:
            return (prior,)
        first = nested_stage(registry.task(CODEC), codec_recipe, self, self.codec_share)
        last = type(prior.__name__, (prior,), {"share": 1 - self.codec_share})
        return first, last

    def build_prior(self, spec: ConditionSpec, codec: Codec, shape: tuple[int, ...]) -> Prior:
        """The network, for the tokens of images of this shape (height, width, channels)."""
        from luoxia.tasks.image_synthesis.networks.prior import Prior

        return Prior(
            spec,
            codec.grid(*shape[:2]),
            codec.vocabulary,
            codec.codebooks,
            condition_dropout=self.condition_dropout,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
        )

    def open_generator(
        self,
        record: ModelRecord,
        weights: dict[str, torch.Tensor],
        spec: ImageSpec,
        conditions: ConditionSpec,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Generator:
        """The prior and its codec."""
        from luoxia.tasks.image_synthesis.prior_generator import PriorGenerator
        from luoxia.tasks.nested import open_part

        codec = open_part(record, registry.task(CODEC), "codec", weights, device=device)
        own = {key: value for key, value in weights.items() if not key.startswith("codec.")}
        if len(own.get("decoder.targets.weight", ())) != math.prod(codec.grid(spec.height, spec.width)):
            raise ValueError("config.json is damaged: it tells of another grid than that of the weights")
        prior = self.build_prior(conditions, codec, (spec.height, spec.width))
        self.fill(prior, own)
        return PriorGenerator(prior.to(device), codec, order=self.order, dtype=dtype)


def codec_recipe(recipe: Any) -> Recipe:
    """The recipe of the codec that a run of ``recipe`` trains first; a codec's own recipe is itself."""
    (kind,) = registry.task(CODEC).recipes
    if isinstance(recipe, kind):
        own: Recipe = recipe
        return own
    settings = recipe.model_dump(mode="json", include=set(SHARED))
    if recipe.codec_width is not None:
        settings["width"] = recipe.codec_width
    made: Recipe = kind.from_settings(settings)
    return made
