"""What is asked of a generator of images, judged by names alone, without torch."""

from __future__ import annotations

from collections.abc import Sequence

from luoxia.core.errors import UsageError
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.menu import RECIPES
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.classes import class_asked, class_number


def check_label(label: str | int | None, classes: Sequence[str], conditional: bool) -> None:
    """``UsageError`` for a class that the model lacks."""
    chosen = class_asked(label, classes)
    if chosen is None:
        return
    if not conditional:
        raise UsageError("label= needs a conditional model; train with condition=concat or projection")
    class_number(chosen, classes)


def needing_styles(mix: int | None, mix_layers: str | None, noise: str) -> str:
    """The first of these controls that only a network with styles has, as KEY=VALUE; "" without."""
    values = {"mix": mix, "mix_layers": mix_layers, "noise": None if noise == "const" else noise}
    return next((f"{key}={value}" for key, value in values.items() if value is not None), "")


def no_styles(what: str) -> UsageError:
    """The error for ``what`` of a network without styles."""
    return UsageError(f"{what} needs a model with styles; train one with: luoxia train stylegan2")


def check_request(record: ModelRecord, label: str | int | None, styled: str = "") -> None:
    """``UsageError`` for a class, or for a control that needs styles, that a generator of Luoxia's own recipes lacks.

    Its config.json tells; of a recipe of one's own nothing is said here.
    """
    recipe, config = RECIPES.get(str(record.config.get("recipe"))), record.config.get("config")
    classes = record.config.get("classes")
    if recipe is None:
        return
    if styled and not issubclass(recipe, StyleGAN2):
        raise no_styles(styled)
    if isinstance(config, dict) and "condition" in config and isinstance(classes, list):
        conditional = config["condition"] != "none" and bool(classes)
        check_label(label, list(map(str, classes)), conditional=conditional)
