"""A GAN of two Transformers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from luoxia.core.values import Unset, Whole
from luoxia.tasks.image_generation.recipes.r3gan import Relativistic
from luoxia.training.recipe import Presets

if TYPE_CHECKING:
    from torch import nn

    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_generation.networks.transformer_gan import TransformerGANConfig

TOKENS = 16
"""Patches, about, that an image is cut into."""


class TransformerGAN(Relativistic):
    """Two Transformers over patches, no convolution; the relativistic loss with R1 and R2 keeps them stable."""

    name: ClassVar[str] = "transformer-gan"
    title: ClassVar[str] = "GAN of two Transformers"
    source: ClassVar[str] = "after Jiang et al. 2021, arXiv:2102.07074"
    presets: ClassVar[Presets] = {
        "tiny": {"width": 32, "layers": 2},
        "small": {"width": 64, "layers": 3},
        "base": {"width": 256, "layers": 6, "heads": 8},
    }

    width: Whole = Field(64, ge=1, le=4096, description="width of both Transformers")
    layers: Whole = Field(3, ge=1, le=1024, description="layers of each")
    heads: Whole = Field(4, ge=1, description="heads of attention, a divisor of width")
    patch: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=64, description="pixels of a patch's side; if unset, as give about 16 patches"
    )
    batch: Whole = 16
    steps: Whole = 3000
    lr: float = 1e-3

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} does not divide width={self.width}; change one of them")
        return self

    def settled(self, data: ImageSpec) -> dict[str, Any]:
        """γ and the size of a patch, where they are unset."""
        patch = max(2, math.ceil(math.sqrt(data.height * data.width / TOKENS)))
        return {**super().settled(data), **({"patch": patch} if self.patch is None else {})}

    def build_generator(self, data: ImageSpec) -> nn.Module:
        """z, labels → images."""
        from luoxia.tasks.image_generation.networks.transformer_gan import Generator

        return Generator(self._config(data))

    def build_discriminator(self, data: ImageSpec) -> nn.Module:
        """Images, labels → logits."""
        from luoxia.tasks.image_generation.networks.transformer_gan import Discriminator

        return Discriminator(self._config(data))

    def _config(self, data: ImageSpec) -> TransformerGANConfig:
        from luoxia.tasks.image_generation.networks.transformer_gan import TransformerGANConfig

        sizes = {name: getattr(self, name) for name in ("latent", "width", "layers", "heads")}
        return TransformerGANConfig(
            **self._of_data(data), **sizes, patch=self.patch or self.settled(data)["patch"]
        )
