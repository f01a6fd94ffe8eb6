"""R3GAN: the relativistic loss with R1 and R2, and a ConvNet without tricks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from luoxia.core.values import AnnealableWeight, Annealed, Unset, Whole
from luoxia.tasks.image_generation.recipes.adversarial import (
    AdversarialRecipe,
    GUpdateName,
    LossName,
    PenaltyName,
    gamma_line,
)
from luoxia.training.recipe import Average, Optimizer, Presets, Schedule

if TYPE_CHECKING:
    from torch import nn

    from luoxia.adversarial.objective import Adversarial
    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_generation.networks.r3gan import R3GANConfig


def gamma_for(height: int, width: int, batch: int) -> float:
    """γ of R1 and R2 for images of a size, where training starts: ``gamma_line`` of the pixels.

    The published settings have batches of 256 and more; smaller ones, whose gradients are noisier, take √(256 / batch)
    more, and 2 at least: digits and emoji were learned better with 3 and 4 than with less (docs/benchmarks.md).
    """
    gamma = gamma_line(height * width)
    return gamma if batch >= 256 else max(2.0, gamma * math.sqrt(256 / batch))


class Relativistic(AdversarialRecipe):
    """What recipes of the relativistic loss with R1 and R2 share: γ by rule or by trial, and all that is annealed."""

    loss: LossName = "relativistic"
    g_update: GUpdateName = "shared"
    penalty: PenaltyName = "r1+r2"
    gamma: Annotated[AnnealableWeight | Literal["sweep"] | None, Unset] = Field(  # type: ignore[assignment]
        None,
        description="weight of R1 and R2; by image size and batch if unset; sweep: the best of five in short trainings",
    )
    condition: Literal["none", "projection"] = Field(
        "none", description="class labels: none, or joined to z and compared with what D makes of the image"
    )
    sweep_steps: Whole = Field(200, ge=1, description="steps of each training of gamma=sweep")
    latent: Whole = Field(64, ge=1, le=2**16, description="dimensions of z")
    optimizer: Optimizer = Optimizer(betas=(0.0, Annealed(0.9, 0.99)))
    schedule: Schedule = Schedule(name="cosine", final=0.25, samples=50_000)
    ema: Average = Average(half_life=Annealed(0, 20_000), warmup_share=0)

    def settled(self, data: ImageSpec) -> dict[str, Any]:
        """Γ by rule where it is not a number; trials come before."""
        return {} if isinstance(self.gamma, float | Annealed) else {"gamma": self._gamma_by_rule(data)}

    def kind(self) -> type[Adversarial]:
        """One pass of D for the loss and both penalties where they come together."""
        from luoxia.adversarial.joint_r1_r2 import OnePass
        from luoxia.adversarial.objective import Adversarial

        at_once = self.penalty == "r1+r2" and self.penalty_every == 1 and self.g_update != "joint"
        return OnePass if at_once else Adversarial

    def trials(self, data: ImageSpec) -> dict[str, list[Any]]:
        """Γ of gamma=sweep: the rule's, and 4 and 16 times less and more."""
        if self.gamma != "sweep":
            return {}
        return {"gamma": [self._gamma_by_rule(data, factor) for factor in (1 / 16, 1 / 4, 1, 4, 16)]}

    def _gamma_by_rule(self, data: ImageSpec, factor: float = 1.0) -> float | Annealed:
        """Γ, a tenth of it at the end where there is a course to go (schedule.samples)."""
        gamma = factor * gamma_for(data.height, data.width, self.batch)
        start, end = (float(f"{value:.2g}") for value in (gamma, gamma / 10))
        return Annealed(start, end) if self.schedule.samples else start


class R3GAN(Relativistic):
    """A ConvNet of today without norms, the relativistic loss, R1 and R2. The defaults are for minutes on a CPU."""

    name: ClassVar[str] = "r3gan"
    title: ClassVar[str] = "R3GAN"
    source: ClassVar[str] = "Huang et al. 2024, arXiv:2501.05441"
    renamed: ClassVar[Mapping[str, str]] = {"widest": "max_channels"}
    presets: ClassVar[Presets] = {
        "tiny": {"width": 8, "max_channels": 64, "group": 8},
        "small": {"width": 16, "max_channels": 128},
        "base": {"width": 64, "max_channels": 512},
        "huang2024-cifar10": {
            "width": 768, "max_channels": 768, "depth": 2, "g_update": "fresh", "latent": 64, "batch": 512, "lr": 2e-4,
            "gamma": "0.05..0.005", "schedule.samples": 20_000_000, "ema.half_life": "0..5e6", "augment": "ada",
            "ada_pipe": "bgc", "augment_p": "0..0.55", "steps": 100_000,
        },
    }  # fmt: skip

    width: Whole = Field(
        16, ge=1, le=2048, description="channels at the finest level; twice as many at each coarser"
    )
    max_channels: Whole = Field(128, ge=1, le=4096, description="most channels of a level")
    depth: Whole = Field(1, ge=1, le=64, description="residual blocks of a level")
    group: Whole = Field(16, ge=1, description="channels of a group in the 3 × 3 convolutions")
    batch: Whole = 16
    steps: Whole = 3000
    lr: float = 2e-3

    def build_generator(self, data: ImageSpec) -> nn.Module:
        """Z, labels → images."""
        from luoxia.tasks.image_generation.networks.r3gan import Generator

        return Generator(self._config(data))

    def build_discriminator(self, data: ImageSpec) -> nn.Module:
        """Images, labels → logits."""
        from luoxia.tasks.image_generation.networks.r3gan import Discriminator

        return Discriminator(self._config(data))

    def _config(self, data: ImageSpec) -> R3GANConfig:
        from luoxia.tasks.image_generation.networks.r3gan import R3GANConfig

        sizes = {name: getattr(self, name) for name in ("latent", "width", "max_channels", "depth", "group")}
        return R3GANConfig(**self._of_data(data), **sizes)
