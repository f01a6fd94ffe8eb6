"""The classic image GANs. Any loss, penalty and network of this page can be combined with any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from luoxia.core.values import AnnealableWeight, Unset, Whole
from luoxia.tasks.image_generation.recipes.adversarial import (
    AdversarialRecipe,
    ConditionName,
    GUpdateName,
    LossName,
    PenaltyName,
    gamma_line,
)
from luoxia.training.recipe import Average, Optimizer, Presets, Schedule

if TYPE_CHECKING:
    from torch import nn

    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_generation.networks.config import ClassicConfig

NetworkName = Literal["mlp", "dcgan", "resnet"]
NormName = Literal["none", "batch", "layer"]
DIGIT = 28 * 28
"""Values of a handwritten digit."""


class ImageGAN(AdversarialRecipe):
    """What the classic image GANs share: which networks, and how they are kept in check."""

    network: NetworkName = Field("dcgan", description="mlp, dcgan or resnet")
    width: Whole = Field(
        64, ge=1, le=2048, description="channels at the finest level (mlp: hidden units / 4 of the first)"
    )
    refine: bool = Field(False, description="end G with two convolutions and a sub-pixel layer (dcgan)")
    latent: Whole = Field(100, ge=1, le=2**16, description="dimensions of z")
    d_norm: NormName = Field("none", description="normalization in D (dcgan, resnet)")
    spectral_norm: bool = Field(False, description="spectral normalization of D's weights")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout in D")
    g_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in G")

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.d_norm == "batch" and self.penalty != "none":
            raise ValueError(
                f"d_norm=batch mixes samples that penalty={self.penalty} treats one by one; use d_norm=layer or none"
            )
        if self.d_norm != "none" and self.network == "mlp":
            raise ValueError(f"d_norm={self.d_norm} is for network=dcgan or resnet")
        return self

    def build_generator(self, data: ImageSpec) -> nn.Module:
        """z, labels → images."""
        family, config = self._family(data)
        network: nn.Module = family.Generator(config)
        return network

    def build_discriminator(self, data: ImageSpec) -> nn.Module:
        """Images, labels → logits."""
        from luoxia.nn.layers import spectrally_normalized

        family, config = self._family(data)
        network: nn.Module = family.Discriminator(config)
        return spectrally_normalized(network) if self.spectral_norm else network

    def _family(self, data: ImageSpec) -> tuple[Any, ClassicConfig]:
        """The module of both networks, and their sizes."""
        from luoxia.tasks.image_generation.networks import dcgan, mlp, resnet

        common: dict[str, Any] = {
            **self._of_data(data),
            "latent": self.latent,
            "projection": self.condition == "projection",
            "dropout": self.dropout,
            "g_dropout": self.g_dropout,
        }
        if self.network == "mlp":
            hidden = (4 * self.width, 8 * self.width, 16 * self.width)
            return mlp, mlp.MLPConfig(**common, hidden=hidden)
        common |= {"width": self.width, "norm": self.d_norm}
        if self.network == "resnet":
            return resnet, resnet.ResNetConfig(**common)
        return dcgan, dcgan.DCGANConfig(**common, refine=self.refine)


class GAN(ImageGAN):
    """The first GAN, as it is taught on handwritten digits: data in [−1, 1], logits, LeakyReLU in D, R1."""

    name: ClassVar[str] = "gan"
    title: ClassVar[str] = "fully connected GAN"
    source: ClassVar[str] = "Goodfellow et al. 2014, arXiv:1406.2661"
    presets: ClassVar[Presets] = {
        "tiny": {"width": 16},
        "small": {"width": 64},
        "base": {"width": 128},
        "goodfellow2014": {
            "loss": "minimax", "g_update": "fresh", "penalty": "none", "dropout": 0.5, "optimizer.name": "sgd",
            "optimizer.momentum": 0.5, "lr": 0.1,
        },
    }  # fmt: skip

    network: NetworkName = "mlp"
    g_update: GUpdateName = "shared"
    steps: Whole = 6000
    lr: float = 5e-4
    optimizer: Optimizer = Optimizer(betas=(0.0, 0.99))
    ema: Average = Average(every=8)  # a step is short: following each would be a tenth of its bytes
    penalty: PenaltyName = "r1"  # without it these networks fall back to one or two digits
    gamma: AnnealableWeight = 2.0
    penalty_every: Whole = 16


class CGAN(GAN):
    """The class joins z and the image: one network for every class, and a sample of the class you ask for."""

    name: ClassVar[str] = "cgan"
    title: ClassVar[str] = "conditional GAN"
    source: ClassVar[str] = "Mirza & Osindero 2014, arXiv:1411.1784"
    presets: ClassVar[Presets] = {size: GAN.presets[size] for size in ("tiny", "small", "base")}

    condition: ConditionName = "concat"


class DCGAN(ImageGAN):
    """Convolutions throughout. The defaults are for minutes on a CPU; ``preset=radford2015`` gives the paper's."""

    name: ClassVar[str] = "dcgan"
    title: ClassVar[str] = "deep convolutional GAN"
    source: ClassVar[str] = "Radford et al. 2015, arXiv:1511.06434"
    presets: ClassVar[Presets] = {
        "tiny": {"width": 16},
        "small": {"width": 32},
        "base": {"width": 64, "latent": 100},
        "radford2015": {
            "width": 64, "latent": 100, "refine": False, "batch": 128, "lr": 2e-4, "optimizer.betas": (0.5, 0.999),
            "penalty": "none", "d_norm": "batch", "ema.half_life": 0, "schedule.warmup": 0,
        },
    }  # fmt: skip

    width: Whole = 32
    latent: Whole = 32  # with 100, handwritten digits are learned markedly slower
    refine: bool = True
    g_update: GUpdateName = "shared"
    steps: Whole = 2500  # of the embedded 5,000 digits D begins to know each after some 2,800
    lr: Annotated[float | None, Unset] = Field(  # type: ignore[assignment]
        None, gt=0, description="learning rate; if unset 2.5e-3 for digits, 1e-3 for larger images"
    )
    optimizer: Optimizer = Optimizer(betas=(0.0, 0.99))
    schedule: Schedule = Schedule(warmup=100)  # or D of photos may be dead after its first updates
    ema: Average = Average(half_life=50_000, warmup_share=0.1)
    penalty: PenaltyName = "r1"
    gamma: Annotated[AnnealableWeight | None, Unset] = Field(  # type: ignore[assignment]
        None,
        description="weight of the penalty (gp, dragan: λ; r1, r2: γ); if unset 10, of r1 and r2 by the images' size",
    )
    penalty_every: Whole = 16

    def settled(self, data: ImageSpec) -> dict[str, Any]:
        """Γ and the learning rate by the size of the images, where they were not given (docs/benchmarks.md)."""
        values = data.height * data.width * data.channels
        found: dict[str, Any] = {}
        if self.lr is None:
            found["lr"] = 2.5e-3 if values <= DIGIT else 1e-3
        if self.gamma is None:
            zero_centered = self.penalty in ("r1", "r2", "r1+r2")
            found["gamma"] = float(f"{gamma_line(values):.2g}") if zero_centered else 10.0
        return found


class WGAN(ImageGAN):
    """The Wasserstein critic, kept Lipschitz by clipping its weights."""

    name: ClassVar[str] = "wgan"
    title: ClassVar[str] = "Wasserstein GAN with weight clipping"
    source: ClassVar[str] = "Arjovsky et al. 2017, arXiv:1701.07875"
    presets: ClassVar[Presets] = {
        "tiny": {"width": 16},
        "small": {"width": 32},
        "base": {"width": 64, "latent": 100},
        "arjovsky2017": {"width": 64, "latent": 100, "lr": 5e-5, "steps": 100_000, "ema.half_life": 0},
    }

    width: Whole = 32
    latent: Whole = 32
    steps: Whole = 2000
    loss: LossName = "wasserstein"
    clip_weights: float = 0.01
    d_norm: NormName = (
        "batch"  # the paper's critic is DCGAN's; without it, clipped weights hardly pass a gradient
    )
    d_steps: Whole = 5
    lr: float = 3e-4
    optimizer: Optimizer = Optimizer(name="rmsprop")


class WGANGP(ImageGAN):
    """The Wasserstein critic, kept Lipschitz by a penalty on the norm of its gradient."""

    name: ClassVar[str] = "wgan-gp"
    title: ClassVar[str] = "Wasserstein GAN with gradient penalty"
    source: ClassVar[str] = "Gulrajani et al. 2017, arXiv:1704.00028"
    presets: ClassVar[Presets] = {
        "tiny": {"width": 16},
        "small": {"width": 24},
        "base": {"width": 64, "latent": 128},
        "gulrajani2017": {
            "network": "resnet", "width": 128, "latent": 128, "lr": 2e-4, "steps": 100_000, "ema.half_life": 0,
        },
    }  # fmt: skip

    width: Whole = 24
    latent: Whole = 32
    steps: Whole = 800
    loss: LossName = "wasserstein"
    penalty: PenaltyName = "gp"
    gamma: AnnealableWeight = 10.0
    d_steps: Whole = 5
    lr: float = 1e-3
    optimizer: Optimizer = Optimizer(betas=(0.0, 0.9))
    schedule: Schedule = Schedule(name="linear")
