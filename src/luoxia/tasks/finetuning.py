"""How a trained model is trained further: its own recipe and settings, for fewer steps at a lower learning rate."""

from __future__ import annotations

from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.sections import merge
from luoxia.tasks.record import ModelRecord
from luoxia.training.recipe import Recipe

INHERITED = {"batch", "accumulate", "average_checkpoints", "optimizer", "schedule", "ema"}
"""Of the keys that all recipes have, those that say how a model was trained; the others belong to a run."""
SHARE_OF_STEPS, SHARE_OF_LR = 4, 2
"""A fine-tuning takes this part of its base model's steps and learning rates, where they are not given."""


def finetune_settings(record: ModelRecord, settings: dict[str, Any]) -> tuple[type[Recipe], dict[str, Any]]:
    """The recipe of a trained model, and the settings of a training that begins with its weights.

    Raises:
        UsageError: no data is named.
        LuoxiaError: the model folder is damaged.
    """
    path = str(record.path)
    if "data" not in settings:
        raise UsageError(f"finetune needs data to learn from: luoxia finetune {path} data=PATH")
    try:
        recipe = record.recipe
    except ValueError as error:
        raise LuoxiaError(f"{record.folder} holds no usable model: {error}") from error
    own, usual = recipe.model_dump(mode="json"), type(recipe)().model_dump(mode="json")
    inherited = {key: own[key] for key in own if own[key] != usual[key] and key not in per_run(type(recipe))}
    for key, rate in own.items():
        if (key == "lr" or key.endswith("_lr")) and rate is not None:
            inherited[key] = rate / SHARE_OF_LR
    if (rate := recipe.optimizer.adam_lr) is not None:
        inherited["optimizer"] = {**own["optimizer"], "adam_lr": rate / SHARE_OF_LR}
    if settings.keys().isdisjoint(("budget", "epochs")):
        whole = recipe.steps or usual["steps"]
        inherited["steps"] = max(1, whole // SHARE_OF_STEPS)
    return type(recipe), merge({"init": path, **inherited}, settings)


def per_run(recipe: type[Recipe]) -> set[str]:
    """Keys that are no part of what a model is, nor of how it was trained."""
    return set(Recipe.model_fields) - INHERITED | set(recipe.per_run)
