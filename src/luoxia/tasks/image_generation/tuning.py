"""How a trained generator is trained on: its own recipe and settings, for fewer steps at a lower learning rate."""

from __future__ import annotations

from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.sections import merge
from luoxia.tasks.image_generation.recipes.adversarial import AdversarialRecipe
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.training.recipe import Recipe

HOW = {"batch", "accumulate", "average_checkpoints", "optimizer", "schedule", "ema"}
"""Of the keys that all recipes of images share, those that say how a generator was trained."""
ANEW = set(ImageRecipe.model_fields) - HOW | {"d_lr", "init", "freeze_d"}
"""Keys that are no part of what a generator is, nor of how it was trained: a fine-tuning has its own."""
SHARE_OF_STEPS, SHARE_OF_LR = 4, 2
"""A fine-tuning does this part of its origin's steps, at this part of its learning rate, unless told otherwise."""


def tuned(record: ModelRecord, settings: dict[str, Any]) -> tuple[type[Recipe], dict[str, Any]]:
    """The recipe of a trained generator, and the settings of a training that begins with its weights."""
    path = str(record.path)
    if "data" not in settings:
        raise UsageError(f"finetune needs images to learn: luoxia finetune {path} data=PATH")
    try:
        recipe = record.recipe
    except ValueError as error:
        raise LuoxiaError(f"{record.folder} holds no usable model: {error}") from error
    if not isinstance(recipe, AdversarialRecipe):
        raise UsageError(f"{path} is an image generator that cannot be fine-tuned")
    own, usual = recipe.model_dump(mode="json"), type(recipe)().model_dump(mode="json")
    taken = {key: value for key, value in own.items() if value != usual[key] and key not in ANEW}
    taken |= {"size": own["size"], "channels": own["channels"]}
    taken["lr"] = recipe.lr / SHARE_OF_LR
    if recipe.d_lr is not None:
        taken["d_lr"] = recipe.d_lr / SHARE_OF_LR
    if "budget" not in settings:
        whole = recipe.steps or usual["steps"]
        taken["steps"] = max(1, whole // SHARE_OF_STEPS)
    return type(recipe), merge({"init": path, **taken}, settings)
