"""The calls behind ``train``, ``resume`` and ``finetune``: what is wrong with a request is said before torch is
imported."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from luoxia.core.config import merge, nest
from luoxia.core.devices import require_device
from luoxia.core.errors import UsageError, told_once
from luoxia.runs.folder import described, is_foreign, require_model
from luoxia.runs.run import Run
from luoxia.tasks.menu import GPT, AdversarialRecipe, configure, recorded
from luoxia.training.checkpoint_files import latest_named, read_state, read_whole
from luoxia.training.recipe import Recipe
from luoxia.verbs.opening import opening, require_data, require_more, require_tunable, resumed, using
from luoxia.verbs.settings import MeasureSettings, PlanSettings


def train(recipe: str, /, **settings: Any) -> Run:
    """Train a recipe; see ``luoxia.train``."""
    with told_once():
        _refuse_plan(settings)
        _check(configure(recipe, nest(using(settings))))
    from luoxia.verbs import api

    return api.train(recipe, **settings)


def plan(recipe: str, /, **settings: Any) -> dict[str, Any]:
    """What ``train`` would do; see ``luoxia.plan``."""
    how, others = _how(settings)
    _check(configure(recipe, nest(using(others))))
    from luoxia.verbs import planning

    return planning.plan(recipe, plan=how, **others)


def resume(run: str, /, **settings: Any) -> Run:
    """Go on with a run; see ``luoxia.resume``."""
    with told_once():
        opened = Run.open(run)
        config = resumed(opened, using(settings), tell=lambda sentence: None)
        _check_data(config)
        _check_unfinished(opened, config)
    from luoxia.verbs import api

    return api.resume(run, **settings)


def finetune(model: str, /, **settings: Any) -> Run:
    """Go on from a model on other data; see ``luoxia.finetune``."""
    with told_once():
        _refuse_plan(settings)
        _check_tuning(model, settings)
    from luoxia.verbs import api

    return api.finetune(model, **settings)


def plan_finetune(model: str, /, **settings: Any) -> dict[str, Any]:
    """What ``finetune`` would do; see ``luoxia.plan``."""
    how, others = _how(settings)
    _check_tuning(model, others)
    from luoxia.verbs import planning

    return planning.plan_finetune(model, plan=how, **others)


def _refuse_plan(settings: dict[str, Any]) -> None:
    if "plan" in settings:
        raise UsageError(f"plan={settings['plan']} says how --dry-run plans: add --dry-run, or leave it out")


def _how(settings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(``plan``, all other settings)."""
    chosen = PlanSettings.from_settings({key: settings[key] for key in settings if key == "plan"})
    return chosen.plan, {key: value for key, value in settings.items() if key != "plan"}


def _check(config: Recipe) -> None:
    """``UsageError`` where the run's folder is taken, or there is no data or no model to go on from."""
    Run.check_free(config.out)
    if (origin := getattr(config, "init", None)) is not None:
        require_model(Path(origin))
    _check_data(config)


def _check_data(config: Recipe | MeasureSettings) -> None:
    require_device(config.device)
    for key in ("data", "against"):
        require_data(getattr(config, key, None))


def _check_unfinished(run: Run, config: Recipe) -> None:
    """``UsageError`` where nothing is left to do, and the checkpoint in force is whole."""
    newest = run.checkpoints / latest_named(run.checkpoints)
    try:
        require_more(run, config, read_state(newest))
    except UsageError:
        with contextlib.suppress(OSError, ValueError):  # a damaged one is passed over for the one before it
            read_whole(newest)
            raise
    except (OSError, ValueError):
        pass


def _check_tuning(model: str, settings: dict[str, Any]) -> None:
    """``UsageError`` for what can be told of a fine-tuning by the small files of its model."""
    opening(model, settings)
    require_tunable(model)
    told = described(model)
    kind: type[Recipe] | None = GPT if is_foreign(model) or told.get("kind") == "language model" else None
    if kind is None and told.get("kind") == "image generator":
        found = recorded(told, Path(model))
        kind = found if issubclass(found, AdversarialRecipe) else None
    given = nest({key: value for key, value in settings.items() if key != "use"})
    if kind is not None:
        kind.check_keys(merge({"init": model}, given))
        Run.check_free(given.get("out"))
        _check_data(MeasureSettings.from_settings({key: given[key] for key in ("data",) if key in given}))
