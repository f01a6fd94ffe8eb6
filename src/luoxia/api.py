"""The calls behind the verbs: train, resume, load, measure, plan."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luoxia.config import flatten, nearest, nest
from luoxia.data import ImageDataset, ImageSpec, holdout_split, open_images
from luoxia.errors import LuoxiaError, UsageError
from luoxia.generation.images import ImageGenerator
from luoxia.metrics.extractors import open_extractor
from luoxia.metrics.images import Measurement, measure_images
from luoxia.metrics.images import measure as measure_against
from luoxia.objectives.base import Batch, Rng
from luoxia.recipes import ImageGAN, Recipe, find
from luoxia.runs.display import Display
from luoxia.runs.report import write_report
from luoxia.runs.run import Run
from luoxia.session import (
    NO_LIMIT,
    Session,
    command_line,
    count,
    make_reference,
    open_data,
    picture_neighbours,
    resolve,
)
from luoxia.training.batches import to_float
from luoxia.training.checkpoint import load_latest
from luoxia.training.distributed import World, join_world, leave_world
from luoxia.training.precision import choose_device, choose_precision, peak_memory
from luoxia.training.trainer import Trainer

RESUMABLE = (
    "steps", "budget", "data", "device", "compile", "log_every", "sample_every", "score_every", "checkpoint_every",
    "keep",
)  # fmt: skip
"""What ``resume`` may change without making it another run."""


class Interrupted(LuoxiaError):  # noqa: N818  (a request, not an error)
    """A signal ended training; everything is saved."""


# ------------------------------------------------------------------ train and resume


def train(recipe: str | Recipe, *, quiet: bool = False, **settings: Any) -> Run:
    """Train a recipe and return its run.

    ``luoxia.train("dcgan", data="photos/", steps=20_000)`` is ``luoxia train dcgan data=photos/ steps=20_000``; nested
    keys are written ``**{"ema.halflife": 5000}`` or ``ema={"halflife": 5000}``. ``UsageError`` for a wrong setting,
    ``Interrupted`` when SIGINT or SIGTERM stopped it (the run can be resumed).
    """
    nested = nest(settings)
    config = _configure(recipe, nested)
    Run.check_free(config.out)
    display = Display(quiet)
    world = join_world(config.device)
    try:
        display.console.quiet = quiet or not world.main
        dataset = _open_together(config, world, display)
        _announce(dataset, display)
        run = _create_together(config, world)
        try:
            session = Session(resolve(config, dataset), run, dataset, world, display)
            name = recipe if isinstance(recipe, str) else session.recipe_name
            session.start(command_line("train", name, _given(config)))
            return _go(session, display)
        except BaseException:
            if world.main:
                run.discard_unbegun()
            raise
    finally:
        leave_world()


def resume(run: str | Path | Run, *, quiet: bool = False, **settings: Any) -> Run:
    """Go on with a run from its newest checkpoint, bit for bit as if it had never stopped.

    ``steps`` is the new total; ``budget`` the new total of training time. Other keys of the recipe stay as they are.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    for key in settings:
        if key not in RESUMABLE:
            known = find(opened.manifest["recipe"]).model_fields
            if key not in known:
                raise UsageError(f"unknown key '{key}'{nearest(key, known)}")
            raise UsageError(f"resume cannot change {key}; start a new run for that")
    if not any(opened.checkpoints.glob("step_*")):
        raise LuoxiaError(
            f"{opened.path} ended before its first checkpoint; start again with: {opened.manifest['command']}"
        )
    config = _configure(opened.manifest["recipe"], {**opened.manifest["config"], **settings})
    if config.budget is not None and "budget" in settings and "steps" not in settings:
        config = config.model_copy(update={"steps": max(config.steps, NO_LIMIT)})
    display = Display(quiet)
    world = join_world(config.device)
    try:
        display.console.quiet = quiet or not world.main
        dataset = _open_together(config, world, display)
        if dataset.fingerprint != opened.manifest["data"]["fingerprint"]:
            raise UsageError(
                f"the data at {dataset.source} has changed since {opened.path} began; put it back or train anew"
            )
        newest = load_latest(opened.checkpoints)
        done, spent = newest.step, newest.state["seconds"]
        if done >= config.steps:
            raise UsageError(
                f"{opened.path} has done its {done:,} steps; give more, as in steps={2 * done}, "
                f"or score what there is: luoxia measure {opened.path}"
            )
        if config.budget is not None and spent >= config.budget:
            more = math.ceil(2 * spent)
            raise UsageError(
                f"{opened.path} has used its {config.budget:g} s; give more, as in budget={more}s"
            )
        session = Session(config, opened, dataset, world, display)
        session.restore()
        return _go(session, display)
    finally:
        leave_world()


def _go(session: Session, display: Display) -> Run:
    with session.run.held() if session.world.main else contextlib.nullcontext():
        finished = session.go()
    if not finished:
        step = session.trainer.progress.step
        raise Interrupted(
            f"stopped by {session.stopper.signal or 'another process'} at step {step:,}, everything is saved; "
            f"go on with: luoxia resume {session.run.path}"
        )
    return session.run


def _configure(recipe: str | Recipe, settings: Mapping[str, Any]) -> ImageGAN:
    if isinstance(recipe, Recipe):
        chosen, base = type(recipe), recipe.model_dump(exclude_unset=True)
    else:
        chosen, base = find(recipe), {}
    config = chosen.from_settings({**base, **settings})
    if not isinstance(config, ImageGAN):
        raise UsageError(f"{chosen.__name__} must be a subclass of luoxia.recipes.ImageGAN")
    return config


def _open_together(config: ImageGAN, world: World, display: Display) -> ImageDataset:
    """The main process decodes, the others then find the cache filled."""
    if world.main:
        dataset = open_data(config, display)
    world.barrier()
    return dataset if world.main else open_data(config)


def _create_together(config: ImageGAN, world: World) -> Run:
    """The main process makes the run's folder; every process knows it."""
    run = Run.create(config.out, config.name or type(config).__name__) if world.main else None
    path = world.text_from_main(str(run.path) if run else "")
    return run or Run(Path(path), {})


def _announce(dataset: ImageDataset, display: Display) -> None:
    spec = dataset.spec
    classes = f", {len(dataset.classes)} classes" if dataset.classes else ""
    display.tell(
        f"data: {len(dataset):,} images of {spec.height} × {spec.width} × {spec.channels}{classes}, {dataset.source}"
    )
    if dataset.skipped:
        first = dataset.skipped[0]
        display.tell(
            f"skipped {len(dataset.skipped):,} files, such as {first.name}: {first.reason}; see skipped.txt"
        )


def _given(config: ImageGAN) -> dict[str, str]:
    """What was set or differs from the recipe's defaults, as words of the command line; never ``out``."""
    defaults = flatten(type(config)().model_dump(mode="json"))
    chosen = flatten(config.model_dump(mode="json", exclude={"out"}))
    given = config.model_fields_set
    return {key: _word(value) for key, value in chosen.items() if value != defaults[key] or key in given}


def _word(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


# ------------------------------------------------------------------ load, sample, measure


def load(path: str | Path, *, ema: bool = True, device: str = "cpu") -> ImageGenerator:
    """The generator of a run, or of the ``model`` folder inside it.

    ``ema=False`` takes the weights of the last checkpoint instead of their average (a run's folder only).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    folder = path / "model" if (path / "run.json").exists() else path
    if folder == path and not (folder / "config.json").exists():
        Run.open(path)  # says what is wrong
    if not ema and folder == path:
        raise UsageError(f"ema=false needs a run's folder, with its checkpoints; {path} holds only the model")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["format"] > 1:
            raise UsageError(
                f"{folder} was written by Luoxia {config['luoxia']}, newer than this one; upgrade luoxia"
            )
        tensors = (
            load_file(folder / "model.safetensors")
            if ema
            else load_latest(path / "checkpoints").tensors["generator"]
        )
        recipe = _configure(config["recipe"], config["config"])
        network = recipe.build_generator(ImageSpec(**config["spec"]))
        network.load_state_dict(tensors)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        told = " ".join(str(error).split())
        raise LuoxiaError(f"{folder} holds no usable model: {told[:300]}") from None
    details = {
        "recipe": type(recipe).name or type(recipe).__name__,  # the path of a user's file stays private
        **{key: config[key] for key in ("run", "step", "data")},
    }
    return ImageGenerator(
        network, classes=tuple(config["classes"]), details=details, device=choose_device(device)
    )


def measure(
    run: str | Path | None = None,
    *,
    data: str | None = None,
    against: str | None = None,
    extractor: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    quiet: bool = False,
) -> Measurement:
    """Score a run against its data (or ``data``), or the images at ``data`` against those at ``against``.

    ``extractor``: self, effnet-lite0 or inception:FILE. ``n``: samples, or images of each side, at most.
    A run's scores are added to its records, and its report is written anew.
    """
    if run is None:
        if not data or not against:
            raise UsageError("measure needs a RUN, or data=IMAGES against=REFERENCE_IMAGES")
        return _measure_sources(data, against, extractor or "self", n or 10_000, 1 if seed is None else seed)
    if against:
        raise UsageError("measure takes a RUN, or data= and against=, not both")
    return _measure_run(Run.open(run), data, extractor, n, seed, Display(quiet))


def _measure_sources(data: str, against: str, extractor: str, n: int, seed: int) -> Measurement:
    reference = open_images(against)
    spec = reference.spec
    measured = open_images(data, f"{spec.height}x{spec.width}", channels=spec.channels)
    opened = open_extractor(extractor, reference.images, reference.labels, fingerprint=reference.fingerprint)
    labels, classes = reference.labels, reference.classes
    return measure_images(
        measured.images,
        reference.images,
        extractor=opened,
        labels=labels,
        classes=classes,
        seed=seed,
        limit=n,
    )


def _measure_run(
    run: Run, data: str | None, extractor: str | None, n: int | None, seed: int | None, display: Display
) -> Measurement:
    config = _configure(run.manifest["recipe"], run.manifest["config"])
    generator = load(run.path)
    n = n or config.score_samples
    extractor = extractor or (config.extractor if config.extractor != "none" else "self")
    if data is not None:
        config = config.model_copy(update={"data": data})
    dataset = open_data(config, display)
    train, heldout = np.arange(len(dataset)), np.arange(0)
    if data is None and config.holdout > 0:
        train, heldout = holdout_split(len(dataset), config.holdout, config.seed)
    if data is None and dataset.fingerprint != run.manifest["data"]["fingerprint"]:
        raise UsageError(
            f"the data at {dataset.source} has changed since {run.path} began; name it as data= to use it"
        )
    seed = config.seed + 1 if seed is None else seed
    reference = make_reference(extractor, dataset, train, heldout, seed=seed, limit=max(n, 10_000))
    fakes = generator.sample(n, seed=seed)
    measurement = measure_against(reference, fakes)
    if data is None:
        picture_neighbours(run, fakes, reference.real, measurement)
        records = [score.as_dict() for score in measurement.scores]
        run.append("score", generator.details["step"], _last_seconds(run), scores=records, final=True)
        write_report(run.path)
    return measurement


def _last_seconds(run: Run) -> float:
    return max((record.get("seconds", 0.0) for record in run.records()), default=0.0)


# ------------------------------------------------------------------ dry run


def plan(recipe: str | Recipe, **settings: Any) -> dict[str, Any]:
    """What ``train`` would do: the resolved config, parameters, and memory and time measured on a few real steps."""
    config = _configure(recipe, nest(settings))
    Run.check_free(config.out)
    dataset = open_data(config)
    resolved = resolve(config, dataset)
    objective = resolved.build(dataset.spec)
    parameters = {name: count(network) for name, network in objective.networks.items()}
    seconds, memory = _time_steps(resolved, dataset)
    return {
        "recipe": config.name or type(config).__name__,
        "config": resolved.model_dump(mode="json"),
        "data": {"source": dataset.source, "count": len(dataset), "fingerprint": dataset.fingerprint},
        "parameters": parameters,
        "seconds_per_step": seconds,
        "seconds": min(seconds * resolved.steps, resolved.budget or float("inf")),
        "memory_bytes": memory,
    }


def _time_steps(config: ImageGAN, dataset: ImageDataset, steps: int = 4) -> tuple[float, int | None]:
    """Seconds a step and peak memory in bytes of the process (CUDA: of the device), on throw-away networks."""
    device = choose_device(config.device)
    dtype = choose_precision(config.precision, device)
    rows = Rng(0).integers(0, len(dataset), config.batch).numpy()
    images = to_float(torch.from_numpy(dataset.images[np.sort(rows)])).to(device)
    labels = None
    if dataset.labels is not None and config.condition != "none":
        labels = torch.from_numpy(np.asarray(dataset.labels)[np.sort(rows)]).to(device)
    trainer = Trainer(
        config.build(dataset.spec),
        config,
        lambda phase, index: Batch(images, labels),
        World(0, 1, device),
        None,
        dtype,
    )
    lazy = max(phase.every for phase in trainer.phases)
    _seconds(trainer, 1)  # what is allocated once
    plain = _seconds(trainer, steps) / steps
    trainer.progress.step = 0  # when lazy phases are due
    share = (_seconds(trainer, 1) - plain) / lazy if lazy > 1 else 0.0
    return plain + max(0.0, share), peak_memory(device)


def _seconds(trainer: Trainer, steps: int) -> float:
    """How long so many steps take, the device's work included."""
    began = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    if trainer.world.device.type == "cuda":
        torch.cuda.synchronize(trainer.world.device)
    return time.perf_counter() - began


__all__ = ["Interrupted", "Run", "load", "measure", "plan", "resume", "train"]
