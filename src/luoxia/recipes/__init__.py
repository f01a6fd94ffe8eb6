"""The menu: one file a family, a typed config and ``build()``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

from luoxia.config import nearest
from luoxia.errors import UsageError
from luoxia.recipe import Recipe
from luoxia.recipes.gan import CGAN, DCGAN, GAN, WGAN, WGANGP, ImageGAN
from luoxia.recipes.images import AdversarialRecipe, ImageRecipe
from luoxia.recipes.r3gan import R3GAN
from luoxia.recipes.stylegan2 import StyleGAN2
from luoxia.recipes.text import GPT, Translate
from luoxia.recipes.transformer_gan import TransformerGAN
from luoxia.recipes.understanding import ClassifyText, EmbedText
from luoxia.recipes.unpaired import CUT, CycleGAN, UnpairedRecipe

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
RECIPES: dict[str, type[Recipe]] = {recipe.name: recipe for recipe in MENU}


def find(name: str) -> type[Recipe]:
    """The recipe of that name, or the class in a file of the user's own: ``mine.py:MyRecipe``."""
    if name in RECIPES:
        return RECIPES[name]
    if ".py" in name:
        return _from_file(name)
    raise UsageError(
        f"unknown recipe '{name}'{nearest(name, RECIPES) or '; known are ' + ', '.join(RECIPES)}"
    )


def menu(name: str | None = None) -> dict[str, type[Recipe]] | type[Recipe]:
    """All recipes by name, or the one of that name."""
    return RECIPES if name is None else find(name)


def _from_file(name: str) -> type[Recipe]:
    file, _, wanted = name.partition(":")
    path = Path(file).resolve()
    if not path.is_file():
        raise UsageError(f"recipe file {file} is not there")
    running = sys.modules.get("__main__")
    if wanted and getattr(running, "__file__", None) and Path(str(running.__file__)).resolve() == path:  # type: ignore[union-attr]
        defined = getattr(running, wanted, None)
        if isinstance(defined, type) and issubclass(defined, Recipe):
            return defined  # a script that loads what it trained must not run itself again
    # A name of its own: the user's file may be called json.py.
    own = f"recipe_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(own, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[own] = module  # pydantic resolves annotations through it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"recipe file {file} does not run: {told}") from error
    found: dict[str, type[Recipe]] = {k: v for k, v in vars(module).items() if _is_own_recipe(v, own)}
    if wanted and wanted not in found:
        raise UsageError(f"{file} has no recipe '{wanted}'{nearest(wanted, found)}")
    if not wanted and len(found) != 1:
        raise UsageError(f"{file} has {len(found)} recipes: name one, as in {file}:MyRecipe")
    return found[wanted] if wanted else next(iter(found.values()))


def _is_own_recipe(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Recipe) and value.__module__ == module


__all__ = [
    "GPT", "RECIPES", "AdversarialRecipe", "ClassifyText", "EmbedText", "ImageGAN", "ImageRecipe", "Recipe",
    "Translate", "UnpairedRecipe", "find",
]  # fmt: skip
