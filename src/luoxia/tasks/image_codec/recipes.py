"""The recipe of a codec of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from luoxia.core.values import Several, Unset, Whole
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.training.recipe import Average, Optimizer, Presets, Schedule

if TYPE_CHECKING:
    from luoxia.adversarial.codec import CodecObjective, Perceptual
    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_codec.networks import ImageAutoencoder

FACTORS = (2, 4, 8, 16)
"""Pixels of an image a side of what one token stands for."""
Levels = Annotated[tuple[Annotated[int, Field(ge=2, le=2**16)], ...], Several]


class ImageCodecRecipe(ImageRecipe):
    """Images as tokens on a grid: a convolutional autoencoder, a quantizer, and a discriminator instead of VGG."""

    name: ClassVar[str] = "image-codec"
    title: ClassVar[str] = "images into tokens and back"
    source: ClassVar[str] = "Esser et al. 2021, arXiv:2012.09841; Mentzer et al. 2023, arXiv:2309.15505"
    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "size", "factor", "quantizer", "levels", "out", "preset", "budget", "steps", "seed",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("shift", "mirror"),
        "network": ("factor", "width", "blocks", "quantizer", "levels", "codes", "code_width"),
        "objective": (
            "perceptual", "l1", "l2", "features", "adversarial", "ramp", "loss", "penalty", "gamma", "penalty_every",
            "commitment", "perturb", "d_width", "d_lr",
        ),
    }  # fmt: skip
    presets: ClassVar[Presets] = {
        "tiny": {"width": 16, "d_width": 16},
        "small": {"width": 48, "d_width": 32},
        "base": {"width": 96, "d_width": 64, "blocks": 2},
    }

    factor: Whole = Field(8, description="pixels a side that one token stands for: 2, 4, 8, 16")
    width: Whole = Field(
        48, ge=8, le=1024, description="channels at half the size; 2, 3, 4 times as many below"
    )
    blocks: Whole = Field(1, ge=1, le=16, description="residual blocks at each size; one more at the grid's")
    quantizer: Literal["fsq", "vq", "none"] = Field(
        "fsq", description="fsq rounds, vq learns a book, none has no tokens: the bound of both"
    )
    levels: Levels = Field(
        (8, 5, 5, 5), description="of fsq: levels of each channel; their product is the number of codes"
    )
    codes: Whole = Field(1024, ge=2, le=2**20, description="of vq: codes of its book")
    code_width: Whole = Field(8, ge=1, le=1024, description="of vq and none: channels of a code")
    perceptual: Literal["d", "effnet", "none"] = Field(
        "d",
        description="features that decoded images are compared by, too: of the discriminator, of effnet-lite0",
    )
    l1: float = Field(1.0, ge=0, description="weight of the mean absolute error")
    l2: float = Field(1.0, ge=0, description="weight of the mean squared error")
    features: float = Field(0.1, ge=0, description="weight of the features of perceptual")
    adversarial: float = Field(
        0.02, ge=0, description="weight of the discriminator; 0 with perceptual=none: none"
    )
    ramp: Whole = Field(10_000, ge=0, description="images in which the discriminator's weight grows from 0")
    loss: Literal["relativistic", "hinge", "nonsaturating"] = Field(
        "relativistic", description="the adversarial loss"
    )
    penalty: Literal["none", "r1", "r1+r2"] = Field(
        "r1+r2", description="what bounds the discriminator's slope"
    )
    gamma: float = Field(1.0, gt=0, description="weight of the penalty")
    penalty_every: Whole = Field(16, ge=1, description="steps between two penalties")
    commitment: float = Field(
        0.25, ge=0, description="of vq: weight of the distance of latents from their codes"
    )
    perturb: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the images in which some tokens become near ones while learning",
    )
    d_width: Whole = Field(32, ge=4, le=1024, description="channels of the discriminator at half the size")
    d_lr: Annotated[float | None, Unset] = Field(None, gt=0, description="its learning rate; lr if unset")
    shift: Whole = Field(4, ge=0, le=64, description="pixels that images are moved by at random, at most")
    mirror: bool = Field(False, description="flip half of the images left and right: not for letters")
    holdout: float = Field(
        0.1, ge=0, le=0.5, description="share of the images kept from training, for samples and scores"
    )
    steps: Whole = 5000
    batch: Whole = Field(24, ge=1, le=2**20, description="images a step and process")
    lr: float = Field(2e-3, gt=0, description="learning rate")
    optimizer: Optimizer = Optimizer(name="adamw", betas=(0.9, 0.99))
    schedule: Schedule = Schedule(name="cosine", warmup=50, final=0.02)
    ema: Average = Average(half_life=500)

    @field_validator("factor")
    @classmethod
    def _known_factor(cls, value: int) -> int:
        if value not in FACTORS:
            raise ValueError(f"must be one of {', '.join(map(str, FACTORS))}")
        return value

    @model_validator(mode="after")
    def _judge_apart(self) -> Self:
        if self.perceptual == "effnet" and self.extractor == "effnet-lite0":
            raise ValueError(
                "extractor=effnet-lite0 cannot judge what perceptual=effnet has trained: choose another of the two"
            )
        return self

    def learning_rates(self) -> dict[str, float]:
        """The discriminator may learn at its own rate."""
        return {} if self.d_lr is None else {"discriminator": self.d_lr}

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at ½, ¼ … of the size."""
        return tuple(self.width * (level + 1) for level in range(FACTORS.index(self.factor) + 1))

    @property
    def has_discriminator(self) -> bool:
        """Whether anything asks for one."""
        return self.adversarial > 0 or (self.perceptual == "d" and self.features > 0)

    def build_autoencoder(self, data: ImageSpec) -> ImageAutoencoder:
        """The network of a model."""
        from luoxia.tasks.image_codec.networks import CodecConfig, ImageAutoencoder

        sizes = (data.channels, self.widths, self.blocks)
        return ImageAutoencoder(CodecConfig(*sizes, self.quantizer, self.levels, self.codes, self.code_width))

    def build(self, data: ImageSpec) -> CodecObjective:
        """What is trained on images of this kind."""
        from luoxia.adversarial.codec import CodecObjective, Weights
        from luoxia.adversarial.losses import LOSSES
        from luoxia.adversarial.penalties import PENALTIES
        from luoxia.tasks.image_codec.networks import Discriminator

        by_d = self.features if self.perceptual == "d" else 0.0
        by_extractor = self.features if self.perceptual == "effnet" else 0.0
        penalties: Any = PENALTIES[self.penalty](self.gamma)
        return CodecObjective(
            self.build_autoencoder(data),
            Weights(self.l1, self.l2, by_extractor, by_d, self.adversarial, self.commitment),
            discriminator=Discriminator(data.channels, self.d_width) if self.has_discriminator else None,
            loss=LOSSES[self.loss](),
            penalties=penalties,
            penalty_every=self.penalty_every,
            perceptual=self._extractor() if by_extractor else None,
            ramp=self.ramp,
            perturb=self.perturb,
        )

    def _extractor(self) -> Perceptual:
        from luoxia.media.image.extractors.effnet import EffNetLite0
        from luoxia.media.image.perceptual import Perceptual

        return Perceptual(EffNetLite0())
