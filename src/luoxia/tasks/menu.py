"""The menu: one file a family, a typed config and ``build()``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luoxia.core.config import merge, nearest, shown, warn_of_old_name
from luoxia.core.errors import UsageError
from luoxia.tasks.image_generation.recipes.adversarial import AdversarialRecipe
from luoxia.tasks.image_generation.recipes.gan import CGAN, DCGAN, GAN, WGAN, WGANGP, ImageGAN
from luoxia.tasks.image_generation.recipes.r3gan import R3GAN
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.image_generation.recipes.transformer_gan import TransformerGAN
from luoxia.tasks.image_translation.recipes import CUT, CycleGAN, UnpairedRecipe
from luoxia.tasks.language_modeling.recipes import GPT
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.tasks.text_classification.recipes import ClassifyText
from luoxia.tasks.text_embedding.recipes import EmbedText
from luoxia.tasks.text_translation.recipes import Translate
from luoxia.training import own
from luoxia.training.recipe import Recipe

MENU: tuple[type[Recipe], ...] = (
    GAN,
    CGAN,
    DCGAN,
    WGAN,
    WGANGP,
    StyleGAN2,
    R3GAN,
    TransformerGAN,
    CycleGAN,
    CUT,
    GPT,
    Translate,
    ClassifyText,
    EmbedText,
)
FAMILIES = (AdversarialRecipe, UnpairedRecipe, GPT, Translate, ClassifyText, EmbedText)
"""What a recipe is one of: there is a session for each."""
RECIPES: dict[str, type[Recipe]] = {recipe.name: recipe for recipe in MENU}


def find(name: str) -> type[Recipe]:
    """The recipe that a person names: of the menu, of a file in use, or the class in a file: ``mine.py:MyRecipe``."""
    found = RECIPES.get(name) or own.named(name)
    if found is None:
        raise UsageError(
            f"unknown recipe '{name}'{nearest(name, RECIPES) or '; known are ' + ', '.join(RECIPES)}"
        )
    return found


def recorded(
    told: Mapping[str, Any], where: Path, warn: Callable[[str], None] = lambda sentence: None
) -> type[Recipe]:
    """The recipe that run.json or config.json at ``where`` speaks of; see ``own.recorded``: nothing is imported."""
    return own.recorded(told, where, RECIPES, warn)


def configure(recipe: str | Recipe | type[Recipe], settings: Mapping[str, Any]) -> Any:
    """The recipe with these settings; ``UsageError`` for a wrong one, or one that could not be opened again."""
    if not isinstance(recipe, str | Recipe | type):
        raise UsageError(f"a recipe is a name such as dcgan, or a Recipe, not {shown(recipe)}")
    base = {}
    if isinstance(recipe, Recipe):
        chosen, base = type(recipe), recipe.model_dump(exclude_unset=True)
    else:
        chosen = recipe if isinstance(recipe, type) else find(recipe)
    own.check_at_rest()
    own.check_kept(chosen)
    config = chosen.from_settings(merge(base, chosen.current(settings, warn_of_old_name)))
    if not isinstance(config, FAMILIES):
        kinds = " or ".join(f"luoxia.tasks.menu.{kind.__name__}" for kind in FAMILIES)
        raise UsageError(f"{type(config).__name__} must be a subclass of {kinds}")
    return config


def menu(name: str | None = None) -> dict[str, type[Recipe]] | type[Recipe]:
    """All recipes by name, or the one of that name."""
    return RECIPES if name is None else find(name)


__all__ = [
    "GPT", "RECIPES", "AdversarialRecipe", "ClassifyText", "EmbedText", "ImageGAN", "ImageRecipe", "Recipe",
    "Translate", "UnpairedRecipe", "configure", "find", "recorded",
]  # fmt: skip
