"""What a recipe of your own is made of; ``luoxia.recipes`` is its public name."""

from __future__ import annotations

from luoxia.core.config import Config
from luoxia.core.values import (
    Annealable,
    AnnealableWeight,
    Annealed,
    Betas,
    Place,
    Seconds,
    Seed,
    Share,
    Size,
    Unset,
    Whole,
    Words,
)
from luoxia.media.image.images import ImageSpec
from luoxia.media.text.spec import TextSpec
from luoxia.tasks.image_generation.recipes.adversarial import (
    AdversarialRecipe,
    ConditionName,
    GUpdateName,
    LossName,
    PenaltyName,
)
from luoxia.tasks.image_generation.recipes.gan import (
    CGAN,
    DCGAN,
    GAN,
    WGAN,
    WGANGP,
    ImageGAN,
    NetworkName,
    NormName,
)
from luoxia.tasks.image_generation.recipes.r3gan import R3GAN, Relativistic
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.image_generation.recipes.transformer_gan import TransformerGAN
from luoxia.tasks.image_translation.recipes import CUT, CycleGAN
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_embedding.recipes import EmbedText
from luoxia.tasks.text_translation.recipes import Translate
from luoxia.training.recipe import Average, Optimizer, Presets, Recipe, Schedule

__all__ = [
    "CGAN", "CUT", "DCGAN", "GAN", "GPT", "R3GAN", "WGAN", "WGANGP", "AdversarialRecipe", "Annealable",
    "AnnealableWeight", "Annealed", "Average", "Betas", "ClassifyText", "ConditionName", "Config", "CycleGAN",
    "EmbedText", "GUpdateName", "ImageGAN", "ImageSpec", "LossName", "NetworkName", "NormName", "Optimizer",
    "PenaltyName", "Place", "Presets", "Recipe", "Relativistic", "Schedule", "Seconds", "Seed", "Share", "Size",
    "StyleGAN2", "TextSpec", "TransformerGAN", "Translate", "Unset", "Whole", "Words",
]  # fmt: skip
