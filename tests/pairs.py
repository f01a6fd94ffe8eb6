"""Generators and discriminators of any family, by their sizes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from luoxia.tasks.image_generation.networks import dcgan, mlp, r3gan, resnet, stylegan2, transformer_gan

CONFIGS = {
    dcgan: dcgan.DCGANConfig,
    mlp: mlp.MLPConfig,
    r3gan: r3gan.R3GANConfig,
    resnet: resnet.ResNetConfig,
    stylegan2: stylegan2.StyleGAN2Config,
    transformer_gan: transformer_gan.TransformerGANConfig,
}


def a_generator(family: ModuleType, latent: int, shape: Any, width: Any = None, **sizes: Any) -> Any:
    """``width``: channels, or the hidden units of an MLP, the first layer's first."""
    if "dropout" in sizes:
        sizes["g_dropout"] = sizes.pop("dropout")
    return family.Generator(sized(family, shape, width, latent=latent, **sizes))


def a_discriminator(family: ModuleType, shape: Any, width: Any = None, **sizes: Any) -> Any:
    """``width``: channels, or the hidden units of an MLP, the first layer's first."""
    return family.Discriminator(
        sized(family, shape, width[::-1] if family is mlp and width else width, **sizes)
    )


def sized(family: ModuleType, shape: Any, width: Any, **sizes: Any) -> Any:
    """The config of a family's networks."""
    if width is not None:
        sizes["hidden" if family is mlp else "width"] = width
    return CONFIGS[family](shape=shape, **sizes)
