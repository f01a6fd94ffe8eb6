"""Training: begun, continued, from a trained model, or only planned. What is wrong is said before torch is imported."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from luoxia import registry
from luoxia.core.devices import require_device
from luoxia.core.errors import NothingLeftError, UsageError, report_once
from luoxia.core.names import absolute
from luoxia.core.sections import flatten, given_keys, nest
from luoxia.core.values import named_path
from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.runs.trackers import check_installed
from luoxia.tasks.base import Task, article
from luoxia.tasks.menu import configure, recorded
from luoxia.tasks.record import ModelRecord
from luoxia.training.checkpoint_files import latest_named, read_state, read_whole
from luoxia.training.recipe import Recipe
from luoxia.verbs.request import RESUMABLE, opened, require_data, require_more, resumed, using
from luoxia.verbs.settings import PlanSettings


def train(recipe: str | Recipe | type[Recipe], *, quiet: bool = False, **settings: Any) -> Run:
    """Train a recipe and return its run.

    ``luoxia.train("dcgan", data="photos/", steps=20_000)`` is ``luoxia train dcgan data=photos/ steps=20_000``; nested
    keys are written ``**{"ema.half_life": 5000}`` or ``ema={"half_life": 5000}``. Where ``out`` is a run of the same
    recipe and settings, it is continued (``resume="never"``: refused). ``UsageError`` for a wrong setting,
    ``luoxia.verbs.course.Interrupted`` when a signal stopped it (the run can be resumed).

    >>> import luoxia
    >>> run = luoxia.train("gan", steps=2, batch=4, extractor="none", out="digits", quiet=True)
    >>> run.path.name, [record["event"] for record in run.records("event")][-1]
    ('digits', 'finished')
    """
    with report_once():
        if "plan" in settings:
            raise UsageError(
                f"plan={settings['plan']} says how --dry-run plans: add --dry-run, or leave it out"
            )
        config = configure(recipe, nest(using(settings)))
        check_installed(config.log)
        if (begun := _begun(config)) is not None:
            changes = _changes(begun, config)
        else:
            _check(config)
    if begun is not None:
        return _continue(begun, changes, quiet)
    from luoxia.verbs import course

    return course.begin(config, recipe if isinstance(recipe, str) else None, quiet=quiet)


def resume(run: str | Path | Run, *, quiet: bool = False, **settings: Any) -> Run:
    """Continue a run from its newest checkpoint, bit for bit as if it had never stopped.

    ``steps`` is the new total; ``budget`` the new total of training time. Other keys of the recipe stay as they are.
    A run of a recipe of one's own needs the file that holds it: ``use="mine.py"``.

    >>> import luoxia
    >>> run = luoxia.train("gan", steps=2, batch=4, extractor="none", quiet=True)
    >>> run = luoxia.resume(run, steps=4, quiet=True)
    >>> [record["step"] for record in run.records("log")][-1]
    4
    """
    heard: list[str] = []
    with report_once():
        begun = run if isinstance(run, Run) else Run.open(named_path(run, "resume"))
        config = resumed(begun, using(settings), heard.append)
        _check_data(config)
        _check_unfinished(begun, config)
    from luoxia.verbs import course

    for sentence in heard:
        Display(quiet).tell(sentence)
    return course.go_on(begun, config, quiet=quiet)


def finetune(model: str | Path | Run | ModelRecord, *, quiet: bool = False, **settings: Any) -> Run:
    """Train on other data, beginning with the weights of a run or of a Hugging Face folder, as a new run.

    ``luoxia.finetune("runs/gpt-1", data="letters/", lora=8)``, ``luoxia.finetune("runs/dcgan-1", data="own/",
    freeze_d=2)``. The keys are those of the model's recipe. Without further keys it keeps the settings of the run, for
    a quarter of its steps at half of its learning rate; ``gpt`` has defaults of its own. The tokenizer is the model's.
    Weights that fit by name and shape are carried over, what belongs to a class to the class of the same name; run.json
    lists the rest. ``UsageError`` where nothing fits.

    >>> import luoxia, numpy as np
    >>> base = luoxia.train("gan", steps=2, batch=4, extractor="none", quiet=True)
    >>> np.savez("few.npz", images=luoxia.load(base).sample(40))
    >>> luoxia.finetune(base, data="few.npz", steps=2, out="few", quiet=True).name
    'few'
    """
    with report_once():
        recipe, tuned = tuned_settings(model, settings)
    return train(recipe, quiet=quiet, **tuned)


def tuned_settings(
    model: str | Path | Run | ModelRecord, settings: dict[str, Any]
) -> tuple[str | type[Recipe], dict[str, Any]]:
    """The recipe and the settings of a training that begins with a model's weights."""
    named = model if isinstance(model, ModelRecord) else named_path(model, "finetune")
    record = opened(named, settings)
    return record.task.finetune(record, nest({key: settings[key] for key in settings if key != "use"}))


# ------------------------------------------------------------------ --dry-run


def plan(recipe: str | Recipe | type[Recipe], **settings: Any) -> dict[str, Any]:
    """What ``train`` would do: the resolved config, the data, parameters, memory and time.

    Memory is estimated, without activations, and time is not known; with ``plan="measured"`` both are measured on a few
    real steps.
    """
    how = PlanSettings.from_settings({key: settings.pop(key) for key in ("plan",) if key in settings})
    config = configure(recipe, nest(using(settings)))
    _check(config)
    from luoxia.verbs import planning

    return planning.plan(config, measured=how.plan == "measured")


def plan_finetune(model: str | Path | Run | ModelRecord, **settings: Any) -> dict[str, Any]:
    """What ``finetune`` would do; see ``plan``."""
    how = {key: settings.pop(key) for key in ("plan",) if key in settings}
    recipe, tuned = tuned_settings(model, settings)
    return plan(recipe, **how, **tuned)


# ------------------------------------------------------------------ what is checked before work starts


def _check(config: Recipe) -> None:
    """``UsageError`` where the run's folder is taken, or there is no data or no model to begin with."""
    Run.check_free(config.out)
    if config.init is not None:
        _check_base(config.init, registry.task_of(config))
    _check_data(config)


def _check_base(path: str, task: Task) -> None:
    """``UsageError`` where ``path`` holds no model of the task."""
    record = ModelRecord.open(path)
    if record.task.name != task.name:
        raise UsageError(f"{path} contains {article(record.kind)}, expected {article(task.kind)}")


def _check_data(config: Recipe) -> None:
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


# ------------------------------------------------------------------ resume=auto


def _begun(config: Recipe) -> Run | None:
    """The run that lies at ``out``, to be continued; None where training begins."""
    if config.out is None or config.resume == "never" or not (Path(config.out) / "run.json").is_file():
        return None
    run = Run.open(config.out)
    return run if run.has_checkpoints else None


def _continue(run: Run, changes: dict[str, Any], quiet: bool) -> Run:
    """Continue a run by the command that began it; a finished one is returned as it is."""
    try:
        return resume(run, quiet=quiet, **changes)
    except NothingLeftError as done:
        Display(quiet).tell(str(done))
        return run


def _changes(run: Run, config: Recipe) -> dict[str, Any]:
    """What was given and may change; ``UsageError`` for what would make it another run."""
    kind = recorded(run.manifest, run.path)
    if kind is not type(config):
        raise UsageError(
            f"out={config.out} holds a run of {kind.name or kind.__name__}; choose another folder"
        )
    was = flatten(kind.from_settings(run.manifest["config"]).model_dump(mode="json"))
    now = flatten(config.model_dump(mode="json"))
    changes: dict[str, Any] = {}
    for key in given_keys(config) - {"out", "resume"}:
        value = absolute(now[key]) if key in PLACES and now[key] is not None else now[key]
        if value == was.get(key):
            continue
        if key not in RESUMABLE:
            raise UsageError(
                f"out={config.out} holds a run with {key}={was.get(key)}, not {value}: choose another folder"
            )
        changes[key] = now[key]
    return changes


PLACES = ("data", "against", "init")
"""Keys whose paths a run keeps as absolute ones."""
