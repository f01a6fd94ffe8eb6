"""Luoxia: train, measure and sample generative models of your own files.

>>> import luoxia
>>> run = luoxia.train("dcgan", data="photos/", steps=20_000)  # doctest: +SKIP
>>> images = luoxia.load(run.path).sample(16, seed=0)          # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from luoxia.core.errors import LuoxiaError, UsageError
    from luoxia.media.image.images import open_images
    from luoxia.runs.run import Run
    from luoxia.training.own import use
    from luoxia.training.recipe import Recipe
    from luoxia.verbs.export import export
    from luoxia.verbs.load import load
    from luoxia.verbs.measure import measure
    from luoxia.verbs.train import finetune, plan, resume, train

_HOMES = {
    "train": "luoxia.verbs.train",
    "resume": "luoxia.verbs.train",
    "finetune": "luoxia.verbs.train",
    "export": "luoxia.verbs.export",
    "load": "luoxia.verbs.load",
    "measure": "luoxia.verbs.measure",
    "plan": "luoxia.verbs.train",
    "open_images": "luoxia.media.image.images",
    "LuoxiaError": "luoxia.core.errors",
    "UsageError": "luoxia.core.errors",
    "Recipe": "luoxia.training.recipe",
    "Run": "luoxia.runs.run",
    "use": "luoxia.training.own",
}

__all__ = [
    "LuoxiaError", "Recipe", "Run", "UsageError", "export", "finetune", "load", "measure", "open_images", "plan",
    "resume", "train", "use",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import on first use: ``import luoxia`` stays quick."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'luoxia' has no attribute '{name}'")
