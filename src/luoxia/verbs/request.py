"""What every verb does first: it opens a run or a model, and says what is wrong before torch is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from luoxia.core.devices import require_device
from luoxia.core.errors import LuoxiaError, NothingLeftError, UsageError
from luoxia.core.files import in_force, recover
from luoxia.core.names import expanded, nearby
from luoxia.core.old_names import warn_of_old_name
from luoxia.core.sections import merge, nest
from luoxia.core.sentences import nearest
from luoxia.runs.run import Run
from luoxia.tasks.menu import recorded
from luoxia.tasks.record import ModelRecord
from luoxia.training import own

RESUMABLE = (
    "steps", "budget", "data", "against", "device", "compile", "workers", "log", "log_every", "sample_every",
    "score_every", "checkpoint_every", "keep_checkpoints", "allow_skipped",
)  # fmt: skip
"""What ``resume`` may change without making it another run."""


def opened(model: str | PathLike[str] | ModelRecord, settings: Mapping[str, Any]) -> ModelRecord:
    """The model at a path, after the file that the person names with ``use=`` has run.

    ``UsageError`` where no model is there or the file cannot be used, and for a ``device`` that is not there.
    """
    record = model if isinstance(model, ModelRecord) else ModelRecord.open(Path(model))
    require_device(settings.get("device"))
    using(settings)
    return record


def open_scored(path: str | PathLike[str] | ModelRecord) -> ModelRecord:
    """The model of a run, or of another toolkit's folder; ``UsageError`` for a model folder alone."""
    if not isinstance(path, ModelRecord):
        folder = Path(path)
        if not any((folder / name).exists() for name in ("run.json", "config.json")):
            Run.open(folder)  # which says what is missing
        path = ModelRecord.open(folder)
    if path.run is None and not path.is_foreign:
        Run.open(path.path)
    return path


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


def require_more(run: Run, config: Any, state: Mapping[str, Any]) -> None:
    """``UsageError`` where a run, whose checkpoint in force has this state, has nothing left to do."""
    done, spent = state["step"], run.seconds_before_last + state.get("seconds", 0.0)
    if config.steps is not None and done >= config.steps:
        raise NothingLeftError(
            f"{run.path} already finished {done:,} steps; pass a larger steps=, such as steps={2 * done}, "
            f"or score what there is: luoxia measure {run.path}"
        )
    if config.budget is not None and spent >= config.budget:
        more = math.ceil(2 * spent)
        raise NothingLeftError(
            f"{run.path} already used its {config.budget:g} s; pass a larger budget=, such as budget={more}s"
        )


def resumed(run: Run, settings: Mapping[str, Any], tell: Callable[[str], None]) -> Any:
    """The config of a run, continued with these settings; ``UsageError`` for one that cannot be changed."""
    run.refuse_links()
    recipe = recorded(run.manifest, run.path, tell)
    settings = recipe.current(nest(settings), warn_of_old_name)
    for key in settings:
        if key not in RESUMABLE:
            known = recipe.model_fields
            if key not in known:
                raise UsageError(f"unknown key '{key}'{nearest(key, known)}")
            raise UsageError(f"resume cannot change {key}; start a new run for that")
    if not run.has_checkpoints:
        raise LuoxiaError(
            f"{run.path} ended before its first checkpoint; start again with: {run.manifest['command']}"
        )
    config = recipe.from_settings(merge(recipe.current(run.manifest["config"]), settings))
    if config.budget is not None and "budget" in settings and "steps" not in settings:
        config = config.model_copy(update={"steps": None})
    for key in ("data", "against"):
        place = getattr(config, key, None)
        if place is not None and key not in settings and not expanded(place).exists():
            raise UsageError(
                f"the data of {run.path} is no longer at {place}: give {key}=PATH, where it is now"
            )
    if (
        config.init is not None and not Path(config.init).exists()
    ):  # all that is needed of it lies in the run too
        recover(run.model)
        kept = run.base if run.base.is_dir() else in_force(run.model)
        config = config.model_copy(update={"init": str(kept.resolve())})
    return config
