"""Luoxia: train, measure and sample generative models of your own files.

>>> import luoxia
>>> run = luoxia.train("dcgan", data="photos/", steps=20_000)  # doctest: +SKIP
>>> images = luoxia.load(run.path).sample(16, seed=0)          # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from luoxia.api import export, finetune, load, resume, train
    from luoxia.data import open_images
    from luoxia.errors import LuoxiaError, UsageError
    from luoxia.measuring import measure
    from luoxia.planning import plan
    from luoxia.recipes import Recipe
    from luoxia.recipes.own import use
    from luoxia.runs.run import Run

_HOMES = {
    "train": "luoxia.api",
    "resume": "luoxia.api",
    "finetune": "luoxia.api",
    "export": "luoxia.api",
    "load": "luoxia.api",
    "measure": "luoxia.measuring",
    "plan": "luoxia.planning",
    "open_images": "luoxia.data",
    "LuoxiaError": "luoxia.errors",
    "UsageError": "luoxia.errors",
    "Recipe": "luoxia.recipes",
    "Run": "luoxia.runs.run",
    "use": "luoxia.recipes.own",
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
