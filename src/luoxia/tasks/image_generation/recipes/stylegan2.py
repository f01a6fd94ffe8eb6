"""StyleGAN2 with adaptive discriminator augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from luoxia.core.values import AnnealableWeight, Unset, Whole
from luoxia.tasks.image_generation.recipes.adversarial import (
    AdversarialRecipe,
    GUpdateName,
    LossName,
    PenaltyName,
)
from luoxia.tasks.image_generation.recipes.r3gan import gamma_for
from luoxia.training.recipe import Average, Optimizer, Presets

if TYPE_CHECKING:
    from torch import nn

    from luoxia.adversarial.objective import Adversarial
    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_generation.networks.stylegan2 import StyleGAN2Config

SMALL = 32
"""Pixels up to which paths and mixing are left out, as in the published configuration for CIFAR-10."""


class StyleGAN2(AdversarialRecipe):
    """A style for every layer. Unset keys follow from the size of the images, as in the public code's ``auto``.

    The networks are thinner than the published ones, for minutes on a CPU; ``preset=karras2020-cifar10``
    gives those for CIFAR-10.
    """

    name: ClassVar[str] = "stylegan2"
    title: ClassVar[str] = "StyleGAN2 with adaptive augmentation"
    source: ClassVar[str] = "Karras et al. 2020, arXiv:1912.04958 and arXiv:2006.06676"
    renamed: ClassVar[Mapping[str, str]] = {"widest": "max_channels", "group": "minibatch_std_group"}
    presets: ClassVar[Presets] = {
        "tiny": {"width": 8, "max_channels": 64, "latent": 64, "styles": 64},
        "small": {"width": 16, "max_channels": 128},
        "base": {"width": 32, "max_channels": 512, "latent": 512, "styles": 512, "mapping_layers": 8},
        "karras2020-cifar10": {
            "width": 512, "max_channels": 512, "latent": 512, "styles": 512, "batch": 64, "minibatch_std_group": 32,
            "loss": "nonsaturating", "penalty": "r1", "penalty_every": 16, "gamma": 0.01, "ema.half_life": 500_000,
            "g_update": "fresh", "augment": "ada", "steps": 1_562_500,
        },
    }  # fmt: skip

    width: Whole = Field(16, ge=1, le=2048, description="channels at the finest level")
    max_channels: Whole = Field(
        128, ge=1, le=4096, description="channels at most: they double at each halving"
    )
    latent: Whole = Field(128, ge=1, le=2**16, description="dimensions of z")
    styles: Whole = Field(128, ge=1, le=2**16, description="dimensions of w")
    mapping_layers: Whole = Field(2, ge=1, le=1024, description="layers from z to w")
    condition: Literal["none", "projection"] = Field(
        "none", description="class labels: none, or embedded in the mapping and projected in D"
    )
    minibatch_std_group: Annotated[Whole | None, Unset] = Field(
        None, ge=0, description="images whose spread D is shown, a divisor of batch; 4 if unset, 0: none"
    )
    mixing: Annotated[float | None, Unset] = Field(
        None, ge=0, le=1, description="share of images of two styles; if unset 0.9, or 0 up to 32 pixels"
    )
    path_weight: Annotated[float | None, Unset] = Field(
        None, ge=0, description="weight of path length regularization; if unset 2, or 0 up to 32 pixels"
    )
    path_every: Whole = Field(4, ge=1, description="steps between two path lengths")
    batch: Annotated[Whole | None, Unset] = Field(  # type: ignore[assignment]
        None,
        ge=1,
        le=2**20,
        description="batch size per process; if unset 4096 / pixels, at most 32",
    )
    gamma: Annotated[AnnealableWeight | None, Unset] = Field(  # type: ignore[assignment]
        None, description="weight of R1 and R2; by image size and batch, as in r3gan, if unset"
    )
    ema: Average = Field(
        Average(), description="half-life of the average; if unset 10,000 · batch / 32 images"
    )
    loss: LossName = "relativistic"  # with the published one digits begin with mode collapse
    penalty: PenaltyName = "r1+r2"
    penalty_every: Whole = 8
    g_update: GUpdateName = "shared"
    lr: float = 2.5e-3
    optimizer: Optimizer = Optimizer(betas=(0.0, 0.99))
    steps: Whole = 3000

    def settled(self, data: ImageSpec) -> dict[str, Any]:
        """Settings by the size of the images, where they were not given; ``UsageError`` where they do not fit."""
        from luoxia.core.errors import UsageError

        pixels = max(data.height, data.width)
        batch = self.batch or max(1, min(4096 // pixels, 32))
        found: dict[str, Any] = {
            "batch": batch,
            "minibatch_std_group": 4 if batch % 4 == 0 else 0,
            "mixing": 0.0 if pixels <= SMALL else 0.9,
            "path_weight": 0.0 if pixels <= SMALL else 2.0,
            "gamma": gamma_for(data.height, data.width, batch),
        }
        found = {key: value for key, value in found.items() if getattr(self, key) is None}
        if not self.is_given("ema"):
            found["ema"] = Average(half_life=10_000 * batch / 32)
        if self.minibatch_std_group and batch % self.minibatch_std_group:
            raise UsageError(
                f"minibatch_std_group={self.minibatch_std_group} does not divide batch={batch}; choose a divisor, or "
                "minibatch_std_group=0"
            )
        return found

    def build(self, data: ImageSpec) -> Adversarial:
        """The objective on images of the data's shape."""
        from luoxia.tasks.image_generation.style_objective import Style

        own = self.model_copy(update=self.settled(data))
        settings = {key: getattr(own, key) for key in ("mixing", "path_weight", "path_every")}
        return Style(*own.players(data), **own.rules(), **settings)

    def build_generator(self, data: ImageSpec) -> nn.Module:
        """z, labels → images."""
        from luoxia.tasks.image_generation.networks.stylegan2 import Generator

        return Generator(self._config(data))

    def build_discriminator(self, data: ImageSpec) -> nn.Module:
        """Images, labels → logits."""
        from luoxia.tasks.image_generation.networks.stylegan2 import Discriminator

        return Discriminator(self._config(data))

    def _config(self, data: ImageSpec) -> StyleGAN2Config:
        from luoxia.tasks.image_generation.networks.stylegan2 import StyleGAN2Config

        group = self.model_copy(update=self.settled(data)).minibatch_std_group
        return StyleGAN2Config(
            **self._of_data(data),
            latent=self.latent,
            width=self.width,
            max_channels=max(self.max_channels, self.width),
            styles=self.styles,
            mapping_layers=self.mapping_layers,
            group=group or 0,
        )
