"""Translation between two sets of images without pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from luoxia.core.errors import UsageError
from luoxia.core.values import Place, Size, Unset, Whole
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.training.recipe import Average, Illness, Presets, Schedule

if TYPE_CHECKING:
    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_translation import objective as unpaired
    from luoxia.tasks.image_translation.networks.cyclegan import ModuleGroup, Translators, TranslatorsConfig
    from luoxia.tasks.image_translation.objective import Unpaired

PATCHES = (16, 34, 70)
"""Sides of the patches that a discriminator judges (``networks.cyclegan.PATCHES``), in pixels."""
UpsampleName = Literal["transposed", "resize"]
SIZES: Presets = {
    "tiny": {"width": 16, "d_width": 16, "blocks": 4},
    "small": {"width": 32, "d_width": 32, "blocks": 6},
    "base": {"width": 64, "d_width": 64, "blocks": 9},
}
PUBLISHED: Mapping[str, Any] = {
    "size": 256, "load_size": 286, "mirror": True, "width": 64, "d_width": 64, "blocks": 9, "patch": 70, "batch": 1,
    "schedule.hold": 0.5, "ema.half_life": 0,
}  # fmt: skip
"""What both papers share."""


class UnpairedRecipe(ImageRecipe):
    """What translators of images share: the data of both sides, and the networks. Defaults are for small machines."""

    renamed: ClassVar[Mapping[str, str]] = {"load": "load_size"}
    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "against", "size", "out", "preset", "steps", "budget", "mirror", "seed", "device",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("load_size", "mirror"),
        "common": ("epochs",),
        "objective": ("loss", "d_lr", "cycle", "identity", "pool", "nce", "temperature", "patches"),
    }

    directions: ClassVar[tuple[str, ...]]
    """The ways it translates: of a2b and b2a."""
    per_run: ClassVar[tuple[str, ...]] = (*ImageRecipe.per_run, "against", "epochs")

    data: Annotated[str | None, Place] = Field(None, description="images of side A: any source")
    against: Annotated[str | None, Place] = Field(None, description="images of side B: any source")
    size: Annotated[Size | None, Unset] = Field(
        None, description="size of the training crops in pixels, 64 or 48x64; from the data if unset"
    )
    load_size: Annotated[Size | None, Unset] = Field(
        None,
        description="pixels that images are brought to before crops of size; if unset 286/256 of size, "
        "or size where all images have it already",
    )
    mirror: bool = Field(False, description="mirror half of the images; not for letters")
    width: Whole = Field(32, ge=1, le=1024, description="channels of the generators at full size")
    d_width: Whole = Field(32, ge=1, le=1024, description="channels of the discriminators at half size")
    blocks: Whole = Field(
        6, ge=1, le=64, description="residual blocks; published: 6 up to 128 pixels, 9 above"
    )
    upsample: UpsampleName = Field(
        "transposed",
        description="how generators double the size: transposed convolutions, as published, or pixels repeated and "
        "convolved, which leave no checkerboard",
    )
    patch: Annotated[Whole | None, Unset] = Field(
        None,
        description="side of the patches that D judges: 16, 34, 70; the largest that suits size if unset",
    )
    loss: Literal["lsgan", "relativistic"] = Field("lsgan", description="the adversarial loss")
    d_lr: Annotated[float | None, Unset] = Field(None, gt=0, description="learning rate of D; lr if unset")
    epochs: Annotated[Whole | None, Unset] = Field(
        None, ge=1, description="passes over the larger side, instead of steps"
    )
    holdout: float = Field(
        0.1, ge=0, le=0.5, description="share of each side kept from training, for samples and scores"
    )
    batch: Whole = Field(1, ge=1, le=2**20, description="images of each side per step and process")
    steps: Whole = 5000
    schedule: Schedule = Schedule(name="linear", hold=0.5)
    ema: Average = Average(half_life=500)

    @classmethod
    def filled(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """``steps`` in place of a preset's ``epochs``."""
        return super().filled({"epochs": None, **given} if "steps" in given else given)

    @field_validator("patch")
    @classmethod
    def _known_patch(cls, value: int | None) -> int | None:
        if value not in (None, *PATCHES):
            raise ValueError(f"must be one of {', '.join(map(str, PATCHES))}")
        return value

    @classmethod
    def refuse(cls, given: Mapping[str, Any]) -> None:
        """``UsageError`` for steps beside epochs; a run holds both, one having followed from the other."""
        if None not in (given.get("epochs"), given.get("steps")):
            raise UsageError(f"epochs={given['epochs']} beside steps={given['steps']}: give one of them")

    @model_validator(mode="after")
    def _crop_within(self) -> Self:
        if self.load_size is not None and self.size is not None and any(
            whole < part for whole, part in zip(self.load_size, self.size, strict=True)
        ):  # fmt: skip
            raise ValueError("load_size= must be at least size=, for crops are cut out of it")
        return self

    def remedy(self, illness: Illness) -> tuple[str, str]:
        """What is too sure here is D, and it has no penalty."""
        if illness == "vanishing gradients":
            return "D is too sure to teach: lower d_lr", "d_lr"
        return super().remedy(illness)

    def learning_rates(self) -> dict[str, float]:
        """D may learn at its own rate."""
        return {} if self.d_lr is None else {"discriminators": self.d_lr}

    def translators(self, data: ImageSpec) -> Translators:
        """What a model holds: a network for each direction."""
        from luoxia.tasks.image_translation.networks.cyclegan import Translators

        return Translators(self.sizes(data))

    def sizes(self, data: ImageSpec) -> TranslatorsConfig:
        """Those of the networks that translate."""
        from luoxia.tasks.image_translation.networks.cyclegan import TranslatorsConfig

        return TranslatorsConfig(
            channels=data.channels,
            width=self.width,
            blocks=self.blocks,
            resize=self.upsample == "resize",
            directions=self.directions,
        )

    def discriminators(self, data: ImageSpec, *sides: str) -> ModuleGroup:
        """A judge of each side, of patches no larger than the image."""
        from luoxia.tasks.image_translation.networks.cyclegan import (
            SMALLEST,
            Discriminator,
            DiscriminatorConfig,
            ModuleGroup,
        )

        side = min(data.height, data.width)
        suiting = [min(PATCHES), *(p for p in PATCHES if p <= side * 5 // 4)]
        patch: int = self.patch or max(suiting)
        least = max(SMALLEST, 3 << 1 + PATCHES.index(patch))
        if side < least:
            raise UsageError(
                f"size={side} is too small for patch={patch}, which needs {least} pixels: raise size= or lower patch="
            )

        config = DiscriminatorConfig(channels=data.channels, width=self.d_width, patch=patch)
        return ModuleGroup({side: Discriminator(config) for side in sides})

    def build(self, data: ImageSpec) -> Unpaired:
        """The objective on crops of the data's size."""
        raise NotImplementedError(f"{type(self).__name__} must define build()")


class CycleGAN(UnpairedRecipe):
    """Two generators, there and back, two discriminators on patches: a reverse translation must restore the image."""

    name: ClassVar[str] = "cyclegan"
    title: ClassVar[str] = "unpaired translation of images, both ways"
    source: ClassVar[str] = "Zhu et al. 2017, arXiv:1703.10593"
    presets: ClassVar[Presets] = {**SIZES, "zhu2017": {**PUBLISHED, "epochs": 200}}
    directions: ClassVar[tuple[str, ...]] = ("a2b", "b2a")

    cycle: float = Field(10.0, gt=0, description="weight λ of the cycle-consistency loss")
    identity: float = Field(
        0.5, ge=0, description="weight of leaving images of the target side alone, times cycle; 0: none"
    )
    pool: Whole = Field(
        50, ge=0, description="size of the pool of earlier translations that D sees half of the time; 0: none"
    )

    def build(self, data: ImageSpec) -> unpaired.CycleGAN:
        """Both directions at once."""
        from luoxia.adversarial.losses import LOSSES
        from luoxia.tasks.image_translation.objective import CycleGAN

        return CycleGAN(
            self.translators(data),
            self.discriminators(data, "a", "b"),
            LOSSES[self.loss](),
            data.shape,
            cycle=self.cycle,
            identity=self.identity,
            pool=self.pool,
        )


class CUT(UnpairedRecipe):
    """One generator, one way: what was a patch must still look like it. A third of CycleGAN's work."""

    name: ClassVar[str] = "cut"
    title: ClassVar[str] = "unpaired translation of images, one way"
    source: ClassVar[str] = "Park et al. 2020, arXiv:2007.15651"
    presets: ClassVar[Presets] = {**SIZES, "park2020": {**PUBLISHED, "epochs": 400}}
    directions: ClassVar[tuple[str, ...]] = ("a2b",)

    upsample: UpsampleName = "resize"
    nce: float = Field(1.0, gt=0, description="weight λ_X of patches against their sources")
    identity: float = Field(
        1.0, ge=0, description="weight λ_Y of the same on side B; 0 is FastCUT, with nce=10"
    )
    temperature: float = Field(0.07, gt=0, description="τ of the contrast")
    patches: Whole = Field(256, ge=2, le=2**20, description="patches compared in each layer")

    def build(self, data: ImageSpec) -> unpaired.CUT:
        """From A to B."""
        from luoxia.adversarial.losses import LOSSES
        from luoxia.tasks.image_translation.networks.cut import ContrastiveGenerator
        from luoxia.tasks.image_translation.objective import CUT

        return CUT(
            ContrastiveGenerator(self.sizes(data)),
            self.discriminators(data, "b"),
            LOSSES[self.loss](),
            nce=self.nce,
            identity=self.identity,
            temperature=self.temperature,
            patches=self.patches,
        )
