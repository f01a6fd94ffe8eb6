"""The course of a training: data, a run folder, a session. This is where torch is imported."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luoxia import registry
from luoxia.core.errors import LuoxiaError, ReportedByOtherRankError, UsageError
from luoxia.core.sections import flatten
from luoxia.core.settings import as_word
from luoxia.core.skips import in_words
from luoxia.core.values import shortest
from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.training.checkpoint import load_latest
from luoxia.training.distributed import World, join_world, leave_world
from luoxia.training.recipe import Recipe, resolve
from luoxia.training.session import Session
from luoxia.verbs.request import require_more


class Interrupted(LuoxiaError):  # noqa: N818  (a request, not an error)
    """A signal ended training; everything is saved."""


def begin(config: Recipe, name: str | None, *, quiet: bool) -> Run:
    """Train from the first step. ``name`` is how a command names the recipe; None: by its class."""
    task, display = registry.task_of(config), Display(quiet)
    world = join_world(config.device)
    try:
        display.console.quiet = quiet or not world.main
        data = _open_together(config, world, display)
        _announce(config, data, display)
        run = _create_together(config, world)
        with _held(run, world):
            try:
                chosen = world.run_collectively(lambda: task.try_out(config, run, data, world, display))
                session = world.run_collectively(lambda: settled_session(chosen, run, data, world, display))
                session.start(command_line("train", name or _name_of(session), _given(config)))
                return _go(session)
            except BaseException:
                if world.main:
                    run.discard_unbegun()
                raise
    finally:
        leave_world()


def go_on(run: Run, config: Recipe, *, quiet: bool) -> Run:
    """Continue a run from its newest checkpoint."""
    task, display = registry.task_of(config), Display(quiet)
    world = join_world(config.device)
    try:
        display.console.quiet = quiet or not world.main
        data = _open_together(config, world, display)
        with _held(run, world):  # before anything in it is read, or put back to its last checkpoint
            world.run_collectively(lambda: _check_unfinished(run, config, data))
            session = world.run_collectively(lambda: Session(task, config, run, data, world, display))
            session.restore()
            return _go(session)
    finally:
        leave_world()


@contextlib.contextmanager
def _held(run: Run, world: World) -> Iterator[None]:
    """Keep other trainings out of the run; ``UsageError`` where one is at work in it."""
    with contextlib.ExitStack() as stack:
        world.run_collectively(lambda: stack.enter_context(run.held()) if world.main else None)
        yield


def settled_session(config: Recipe, run: Run, data: Any, world: World, display: Display) -> Session:
    """The training of a recipe, with every default settled."""
    task = registry.task_of(config)
    return Session(task, resolve(config, task.settle(config, data)), run, data, world, display)


def _check_unfinished(run: Run, config: Recipe, data: Any) -> None:
    """``UsageError`` if the data is another, or nothing is left to do."""
    if data.fingerprint != run.manifest["data"]["fingerprint"]:
        raise UsageError(
            f"the data at {data.source} has changed since {run.path} began; "
            "restore the original data or start a new run"
        )
    if any(run.checkpoints.glob("step_*")):
        require_more(run, config, load_latest(run.checkpoints).state)


def _go(session: Session) -> Run:
    finished = session.go()
    if not finished:
        if not session.world.main:
            raise ReportedByOtherRankError(Interrupted.exit_code)
        step = session.trainer.progress.step
        raise Interrupted(
            f"stopped by {session.stopper.signal or 'another process'} at step {step:,}, everything is saved; "
            f"to continue: luoxia resume {session.run.path}"
        )
    return session.run


def _open_together(config: Recipe, world: World, display: Display) -> Any:
    """The main process decodes, the others then find the cache filled."""
    task = registry.task_of(config)
    data = world.run_collectively(lambda: task.open(config, display) if world.main else None)
    return world.run_collectively(lambda: data if world.main else task.open(config))


def _create_together(config: Recipe, world: World) -> Run:
    """The main process makes the run's folder; every process knows it."""
    name = config.name or type(config).__name__
    run = world.run_collectively(lambda: Run.create(config.out, name) if world.main else None)
    path = world.broadcast_text(str(run.path) if run else "")
    return run or Run(Path(path), {})


def _announce(config: Recipe, data: Any, display: Display) -> None:
    display.tell(f"data: {registry.task_of(config).describe(data)}")
    for note in getattr(data, "notes", ()):
        display.tell(note)
    if skipped := how_many_skipped(config, data):
        display.tell(f"skipped {skipped}; see skipped.txt")


def how_many_skipped(config: Recipe, data: Any) -> str:
    """How much of the data could not be used, of how much, and why; "" for nothing."""
    if not data.skipped:
        return ""
    return f"{registry.task_of(config).skipped(data)}: {in_words(data.skipped)}"


# ------------------------------------------------------------------ the command that does the same again


def command_line(verb: str, target: str, settings: Mapping[str, Any]) -> str:
    """The command, as a person types it."""
    words = [f"{key}={'none' if value is None else value}" for key, value in settings.items()]
    return " ".join(["luoxia", verb, shlex.quote(target), *map(shlex.quote, words)])


def _name_of(session: Session) -> str:
    """How a command names the recipe: as on the menu, or FILE:CLASS of one's own."""
    record = session.task.recipe_record(session.recipe)
    file = f"{record['recipe_file']['name']}:" if "recipe_file" in record else ""
    return file + str(record["recipe"])


def _given(config: Recipe) -> dict[str, str]:
    """What was set or differs from the recipe's defaults, as words of the command line; never ``out``."""
    defaults = flatten(type(config)().model_dump(mode="json"))
    chosen = flatten(config.model_dump(mode="json", exclude={"out"}))
    given = config.model_fields_set
    words = {key: as_word(value) for key, value in chosen.items() if value != defaults[key] or key in given}
    return words | ({} if config.budget is None else {"budget": f"{shortest(config.budget)}s"})
