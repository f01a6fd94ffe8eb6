"""What every verb that opens a run or a model does first, before its keys are checked and before torch is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from luoxia.core.config import merge, nearest, nest, warn_of_old_name
from luoxia.core.devices import require_device
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import in_force, recover
from luoxia.core.names import expanded, nearby
from luoxia.runs.folder import (
    IMAGE_GENERATOR,
    IMAGE_TRANSLATOR,
    LANGUAGE_MODEL,
    described,
    kind_of,
    require_model,
)
from luoxia.runs.run import Run
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.image_generation.requests import check_label, no_styles
from luoxia.tasks.menu import RECIPES, configure, recorded
from luoxia.training import own
from luoxia.training.recipe import NO_LIMIT
from luoxia.verbs.settings import ExportSettings

FORMATS = {
    LANGUAGE_MODEL: ("huggingface",),
    IMAGE_GENERATOR: ("onnx", "tensorflow"),
    IMAGE_TRANSLATOR: ("onnx",),
}
"""What each kind of model can be exported as."""

RESUMABLE = (
    "steps", "budget", "data", "against", "device", "compile", "workers", "log", "log_every", "sample_every",
    "score_every", "checkpoint_every", "keep", "allow_skipped",
)  # fmt: skip
"""What ``resume`` may change without making it another run."""


def opening(path: str | PathLike[str], settings: Mapping[str, Any]) -> None:
    """Check that a run or a model lies at ``path``, then run the file that the person names with ``use=``.

    ``UsageError`` where nothing is there or the file cannot be used, and for a ``device`` that is not there.
    """
    require_model(Path(path))
    require_device(settings.get("device"))
    using(settings)


def using(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without ``use``, the file of recipes that is run."""
    file = settings.get("use")
    if file not in (None, "none"):
        own.use(file)
    return {key: value for key, value in settings.items() if key != "use"}


def require_data(path: str | None) -> None:
    """``UsageError`` where ``path`` names nothing; None is the data that comes with Luoxia."""
    if path is not None and not (place := expanded(path)).exists():
        raise UsageError(f"there is nothing at {path}{nearby(place)}")


def require_tunable(model: str) -> None:
    """``UsageError`` where ``finetune`` cannot go on from such a model."""
    kind = kind_of(model)
    if kind not in (LANGUAGE_MODEL, IMAGE_GENERATOR):
        told = f"a model of the kind '{kind}'" if kind else "no model of Luoxia's"
        raise UsageError(
            f"{model} holds {told}, and only language models and image generators can be fine-tuned"
        )


def checked_format(model: str, chosen: ExportSettings) -> str:
    """The format to export a model in, the first that it has if unset; ``UsageError`` for what cannot be exported."""
    kind = kind_of(model)
    known = FORMATS.get(kind)
    if known is None:
        raise UsageError(
            f"{model} holds a model of the kind '{kind}', and only language models, image generators and image "
            "translators can be exported"
        )
    if chosen.format not in (None, *known):
        raise UsageError(
            f"format={chosen.format}: a model of the kind '{kind}' is exported as {' or '.join(known)}"
        )
    if chosen.direction is not None and kind != IMAGE_TRANSLATOR:
        raise UsageError(f"direction={chosen.direction} is for image translators")
    format = chosen.format or known[0]
    if kind == LANGUAGE_MODEL:
        return format
    if chosen.dtype is not None:
        raise UsageError(
            f"dtype={chosen.dtype} is for language models: a model of images is exported as it is, in float32"
        )
    out = Path(chosen.out or "")
    if format == "onnx" and out.suffix.lower() != ".onnx":
        raise UsageError(f"out={out}: must be FILE.onnx")
    if out.exists() or out.is_symlink():
        raise UsageError(f"out={out} is there already; choose another")
    return format


def check_images_asked(model: str, label: str | None, styled: str = "") -> None:
    """``UsageError`` for a class, or for a control that needs styles, that a generator of Luoxia's own recipes lacks.

    ``config.json`` tells; of other models nothing is told here.
    """
    told = described(model)
    recipe, config, classes = RECIPES.get(str(told.get("recipe"))), told.get("config"), told.get("classes")
    if told.get("kind") != IMAGE_GENERATOR or recipe is None:
        return
    if styled and not issubclass(recipe, StyleGAN2):
        raise no_styles(styled)
    if isinstance(config, dict) and "condition" in config and isinstance(classes, list):
        check_label(
            label, list(map(str, classes)), conditional=config["condition"] != "none" and bool(classes)
        )


def require_more(run: Run, config: Any, state: Mapping[str, Any]) -> None:
    """``UsageError`` where a run, whose checkpoint in force has this state, has nothing left to do."""
    done, spent = state["step"], state.get("seconds", 0.0)
    if done >= config.steps:
        raise UsageError(
            f"{run.path} has done its {done:,} steps; give more, as in steps={2 * done}, "
            f"or score what there is: luoxia measure {run.path}"
        )
    if config.budget is not None and spent >= config.budget:
        more = math.ceil(2 * spent)
        raise UsageError(f"{run.path} has used its {config.budget:g} s; give more, as in budget={more}s")


def resumed(run: Run, settings: Mapping[str, Any], tell: Callable[[str], None]) -> Any:
    """The config of a run, to go on with these settings; ``UsageError`` for one that cannot be changed."""
    run.refuse_links()
    recipe = recorded(run.manifest, run.path, tell)
    settings = recipe.current(nest(settings), warn_of_old_name)
    for key in settings:
        if key not in RESUMABLE:
            known = recipe.model_fields
            if key not in known:
                raise UsageError(f"unknown key '{key}'{nearest(key, known)}")
            raise UsageError(f"resume cannot change {key}; start a new run for that")
    if not any(run.checkpoints.glob("step_*")):
        raise LuoxiaError(
            f"{run.path} ended before its first checkpoint; start again with: {run.manifest['command']}"
        )
    config = configure(recipe, merge(recipe.current(run.manifest["config"]), settings))
    if config.budget is not None and "budget" in settings and "steps" not in settings:
        config = config.model_copy(update={"steps": max(config.steps, NO_LIMIT)})
    for key in ("data", "against"):
        place = getattr(config, key, None)
        if place is not None and key not in settings and not expanded(place).exists():
            raise UsageError(
                f"the data of {run.path} is no longer at {place}: give {key}=PATH, where it is now"
            )
    origin = getattr(config, "init", None)
    if (
        origin is not None and not Path(origin).exists()
    ):  # form and tokenizer lie in the run too, all weights as well
        recover(run.model)
        config = config.model_copy(update={"init": str(in_force(run.model).resolve())})
    return config
