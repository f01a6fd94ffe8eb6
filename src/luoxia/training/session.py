"""One training, put together: a task's stages in turn, each with its trainer, and what happens beside it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from luoxia import __version__
from luoxia.core.errors import LuoxiaError
from luoxia.core.files import new_version, read_object, write_file
from luoxia.core.names import readable
from luoxia.core.regular import open_regular
from luoxia.core.sections import flatten
from luoxia.core.tensors import store
from luoxia.metrics.score import RENAMED
from luoxia.runs.display import Display
from luoxia.runs.report import write_report
from luoxia.runs.run import FORMAT, Run, with_nan
from luoxia.runs.trackers import open_tracker
from luoxia.training.checkpoint import load_latest
from luoxia.training.determinism import deterministic, wants_determinism
from luoxia.training.distributed import World
from luoxia.training.doctor import Doctor, Watched
from luoxia.training.hardware import (
    capability,
    choose_precision,
    device_name,
    differences,
    keep_freed_memory,
    versions,
)
from luoxia.training.loop import Hooks, Loop, QuickScore, wants_compile
from luoxia.training.objective import Objective
from luoxia.training.origin import sentences
from luoxia.training.rules import RULES
from luoxia.training.stage import Context, Stage, Trainable, shares
from luoxia.training.stopping import SignalHandler
from luoxia.training.trainer import Trainer

MODEL_FILES = ("model.safetensors", "config.json", "README.md")
"""What every model folder holds; beside it and the stage's own files, all in it is the user's."""
LEFT = ("model.safetensors", "config.json", "manifest.json")
"""What a stage leaves to those after it."""


class Session:
    """The course of a run. It holds a task, and is in one of its stages."""

    def __init__(
        self,
        task: Trainable,
        recipe: Any,
        run: Run,
        data: Any,
        world: World,
        display: Display,
    ) -> None:
        self.task = task
        self.recipe = recipe
        self.run = run
        self.data = data
        self.world = world
        self.display = display
        self.stopper = SignalHandler()
        self.dtype = choose_precision(recipe.precision, world.device)
        self.kinds = task.stages(recipe)
        self._enter()

    # ------------------------------------------------------------------ stages

    @property
    def last(self) -> bool:
        """Whether the stage is the last one, whose model is the run's."""
        return type(self.stage) is self.kinds[-1]

    def _enter(self) -> None:
        """Begin the first stage that has left nothing yet: its context, its objective, its trainer."""
        left, spent, steps = _left(self.run, self.kinds[:-1])
        kind = self.kinds[len(left)]
        last = kind is self.kinds[-1]
        recipe = self.recipe
        if len(self.kinds) > 1:
            budget = shares(self.kinds, recipe.budget, spent)
            recipe = recipe.model_copy(update={"budget": budget, **kind.settings(recipe)})
        self.run.enter(kind.name, sum(spent), steps)
        self.checkpoints = self.run.checkpoints if last else _folder(self.run, kind) / "checkpoints"
        resumed = any(self.checkpoints.glob("step_*"))
        self.context = Context(
            recipe, self.data, self.world, self.run, self.display.tell, self.dtype, resumed, left
        )
        self.stage = kind(self.context)
        self.origin: dict[str, Any] = {}
        recipe = self.context.recipe  # which the stage may have completed
        if last:
            self.recipe = recipe.model_copy(update={"budget": self.recipe.budget})
        with torch.random.fork_rng(devices=[]):  # what the caller draws stays as it was
            torch.default_generator.manual_seed(recipe.seed)  # initial weights, the same in every process
            self.context.trainer = self.trainer = Trainer(
                self._objective(),
                recipe,
                self.stage.batch,
                self.world,
                self.checkpoints,
                self.dtype,
                compiled=wants_compile(recipe.compile, self.world.device, recipe.steps, recipe.budget),
            )

    def _objective(self) -> Objective:
        """The stage's, with the weights of the model at ``init``; a resumed run has them in its checkpoints."""
        objective = self.stage.objective()
        if self.context.recipe.init is not None and not self.context.resumed:
            self.origin = self.task.load_base(self.stage, objective)
        return objective

    def advance(self) -> None:
        """Leave the stage as it is, and begin the next one."""
        self._leave()
        self._enter()

    def _leave(self) -> None:
        """Write what the stage leaves, whole or not at all; a killed run then begins the next one."""
        if self.world.main:
            folder = _folder(self.run, type(self.stage))
            with new_version(folder / "left", (*LEFT, *self.stage.model_files)) as new:
                self._write_model(new)
                self.stage.write_model(new)
                digests = {file.name: _digest(file) for file in sorted(new.iterdir()) if file.is_file()}
                progress = {"seconds": self.trainer.progress.seconds, "steps": self.trainer.progress.step}
                manifest = {"stage": type(self.stage).name, **progress, "files": digests}
                write_file(new / "manifest.json", json.dumps(manifest, indent=2) + "\n")
        self.world.barrier()

    # ------------------------------------------------------------------ the course of a run

    def start(self, command: str) -> None:
        """Write what is known before the first step."""
        if not self.world.main:
            return
        self.run.write_manifest(
            luoxia=__version__,
            task=self.task.name,
            inputs=list(self.task.inputs),
            output=self.task.output,
            unit=self.task.unit,
            stages=[kind.name for kind in self.kinds],
            **self.task.recipe_record(self.recipe),
            config=self.recipe.model_dump(mode="json"),
            command=command,
            data=self.stage.describe_data(),
            parameters={name: count(network) for name, network in self.trainer.networks.items()},
            versions=versions(),
            hardware=self._describe_hardware(),
            seed=self.recipe.seed,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if self.data.skipped:
            lines = [f"{skipped.name}: {skipped.reason}" for skipped in self.data.skipped]
            write_file(self.run.path / "skipped.txt", "\n".join(lines) + "\n")
        if self.recipe.init is not None and not self.last:
            self.task.keep_base(self.recipe.init, self.run.base)
        self.run.append("event", 0, 0.0, event="started", detail=command)
        self._record_origin()

    def _record_origin(self) -> None:
        """Keep in run.json which weights the stage began with, and say so."""
        if not self.origin or not self.world.main:
            return
        before = self.run.manifest.get("origin", {})
        networks = {**before.get("networks", {}), **self.origin.get("networks", {})}
        self.run.write_manifest(origin={**self.origin, **before, "networks": networks})
        for sentence in sentences(self.origin):
            self.display.tell(sentence)

    def restore(self) -> None:
        """Go back to the newest checkpoint of the stage, and drop the records after it."""
        if not any(self.checkpoints.glob("step_*")):  # killed between two stages
            if self.world.main:
                self.run.rewind(0)
                self._record_origin()
            return
        saved = load_latest(self.checkpoints)
        self.trainer.restore(saved)
        if self.world.main:
            self.run.rewind(saved.step)
            config = self.recipe.model_dump(mode="json")
            self.run.write_manifest(config=config, **self.task.recipe_record(self.recipe))
            seconds = self.trainer.progress.seconds
            detail = f"from step {saved.step}"
            for problem in saved.damaged:
                self.display.tell(f"damaged checkpoint {problem}; resuming from step {saved.step:,} instead")
            if unlike := self._unlike(saved.state.get("world_size", self.world.size)):
                self.display.tell(f"resuming, but results will not be bit-identical: {unlike}")
                detail += f", not bit for bit: {unlike}"
            self.run.append("event", saved.step, seconds, event="resumed", detail=detail)

    def _unlike(self, processes: int) -> str:
        """What differs from the machine that the run began on, and from the last checkpoint's number of processes."""
        manifest = self.run.manifest
        before = {**manifest.get("hardware", {}), **manifest.get("versions", {}), "processes": processes}
        return differences(before, {**self._describe_hardware(), **versions()})

    def go(self) -> bool:
        """Train to the end; False when a signal came first. What is set for torch meanwhile is put back."""
        keep_freed_memory()
        device = self.world.device
        drawn = [device] if device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=drawn),
            deterministic(self.recipe, device),
            self.stopper.installed(),
            self._tracked(),
        ):
            finished = self._train()
            while finished and not self.last and not self.world.any(self.stopper.signal is not None):
                self.advance()
                self._record_origin()
                self._describe_stage()
                finished = self._train()
            finished = finished and self.last
            if self.world.main:
                self._conclude(finished)
            self.world.barrier()
        return finished

    @contextlib.contextmanager
    def _tracked(self) -> Iterator[None]:
        """Hand the records of this course to the tool that ``log`` names, too."""
        if not self.world.main or self.recipe.log == "none":
            yield
            return
        config = flatten(self.recipe.model_dump(mode="json"))
        step = self.run.steps_before + self.trainer.progress.step
        with open_tracker(self.recipe.log, self.run.path, config, step) as self.run.tracker:
            yield
        self.run.tracker = None

    def _describe_stage(self) -> None:
        """Add the networks of a stage that begins to run.json."""
        if self.world.main:
            sizes = {name: count(network) for name, network in self.trainer.networks.items()}
            self.run.write_manifest(parameters={**self.run.manifest["parameters"], **sizes})

    def _train(self) -> bool:
        """One stage to its end; False when a signal came first."""
        if self.world.main and self.stage.scored:
            self.stage.prepare_scores()
        self.world.barrier()
        stage = self.stage
        hooks = Hooks(
            stage.observe, self._sample, self._quick_score, self._export, self.display.log, self.display.tell
        )
        with contextlib.closing(stage), self._showing():
            recipe = self.context.recipe
            return Loop(self.trainer, recipe, self.run, self._doctor(), hooks, self.stopper).go()

    def _sample(self, step: int) -> None:
        name = f"step_{step:06d}" if self.last else f"{type(self.stage).name}_step_{step:06d}"
        self.stage.preview(self.run.path / "samples" / name)

    def _quick_score(self, step: int) -> QuickScore | None:
        return self.stage.quick_score() if self.stage.scored else None

    def _doctor(self) -> Doctor:
        """A doctor who knows the stage's past."""
        roles = {phase.name: phase.role for phase in self.trainer.phases}
        doctor = Doctor(self.context.recipe, [*RULES, *self.task.rules], roles)
        for record in self.run.records() if self.world.main else ():
            if record.get("stage", self.run.stage) != self.run.stage:
                continue
            if record["kind"] == "log" and {"gradients", "skipped", "statistics"} <= record.keys():
                doctor.observe_log(record["step"], with_nan(record))
            elif record["kind"] == "score" and "watched" in record:
                watched = {RENAMED.get(key, key): value for key, value in record["watched"].items()}
                doctor.observe_score(Watched(record["step"], **with_nan(watched)))
        return doctor

    def _showing(self) -> contextlib.AbstractContextManager[None]:
        if not self.world.main:
            return contextlib.nullcontext()
        goal = (self.context.recipe.steps, self.context.recipe.budget)
        return self.display.training(*goal, self.trainer.progress.step, self.task.unit)

    def _conclude(self, finished: bool) -> None:
        step, seconds = self.trainer.progress.step, self.trainer.progress.seconds
        if finished and self.stopper.signal is None and self.stage.scored:
            self.display.tell("computing scores")
            with self.trainer.as_written():
                records = self.stage.evaluate()
            if records:
                self.run.append("score", step, seconds, scores=records, final=True)
                for finding in self._doctor().observe_result({one["name"]: one["value"] for one in records}):
                    self.run.append("finding", step, seconds, **finding.as_dict())
                    self.display.tell(f"doctor: {finding}")
        detail = "" if finished else f"by {self.stopper.signal or 'another process'}"
        self.run.append("event", step, seconds, event="finished" if finished else "stopped", detail=detail)
        write_report(self.run.path, self.task)
        if finished:
            shutil.rmtree(self.run.base, ignore_errors=True)

    def _export(self, step: int) -> None:
        """Write model/: weights, config.json and a card; ``luoxia.load`` needs nothing else. It changes as a whole."""
        if not self.last:
            return
        with new_version(self.run.model, (*MODEL_FILES, *self.stage.model_files)) as folder:
            self._write_model(folder)
            write_file(folder / "README.md", self.stage.card())
            self.stage.write_model(folder)

    def _write_model(self, folder: Path) -> None:
        """The weights and config.json."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.stage.weights().items()}
        config = {
            "format": FORMAT,
            "task": self.task.name,
            "kind": self.task.kind,
            "inputs": list(self.task.inputs),
            "output": self.task.output,
            "luoxia": __version__,
            **self.task.recipe_record(self.recipe),
            "config": self.recipe.model_dump(mode="json"),
            "data": self.data.fingerprint,
            "run": self.run.name,
            "step": self.trainer.progress.step,
            **self.task.network_record(self.stage.exported()),
            **self.stage.describe_model(),
        }
        store(tensors, folder / "model.safetensors")
        write_file(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def _describe_hardware(self) -> dict[str, Any]:
        return {
            "device": str(self.world.device),
            "name": device_name(self.world.device),
            "processes": self.world.size,
            "threads": torch.get_num_threads(),
            "deterministic": wants_determinism(self.recipe, self.world.device),
            "precision": {torch.bfloat16: "bf16", torch.float32: "fp32"}[self.dtype],
            "capability": capability(self.world.device),
            "compiled": self.trainer.compiled,
        }


def count(network: torch.nn.Module) -> int:
    """The number of weights of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


# ------------------------------------------------------------------ what stages leave


def _folder(run: Run, kind: type[Stage]) -> Path:
    return run.path / "stages" / kind.name


def _left(run: Run, kinds: Sequence[type[Stage]]) -> tuple[dict[str, Path], tuple[float, ...], int]:
    """(What each finished stage left, the seconds that each took, the steps of all).

    ``LuoxiaError`` for what was changed since.
    """
    left: dict[str, Path] = {}
    spent: list[float] = []
    done = 0
    for kind in kinds:
        folder = _folder(run, kind) / "left"
        if not folder.is_dir():
            break
        try:
            seconds, steps = _checked(folder)
        except (OSError, ValueError, ArithmeticError, KeyError, TypeError) as error:
            raise LuoxiaError(
                f"{folder} is damaged: {readable(error)}; remove it to train that stage again"
            ) from error
        left[kind.name] = folder
        spent.append(seconds)
        done += steps
    return left, tuple(spent), done


def _checked(folder: Path) -> tuple[float, int]:
    """The seconds and steps that a stage took, once all that it left is known to be as it was written.

    Raises:
        OSError, ValueError, ArithmeticError, KeyError, TypeError: it is not.
    """
    manifest = read_object(folder / "manifest.json")
    files, seconds, steps = manifest["files"], float(manifest["seconds"]), int(manifest.get("steps", 0))
    if not (0 <= seconds < math.inf and 0 <= steps < 2**63):
        raise ValueError(f"{seconds} seconds and {readable(steps)} steps in manifest.json")
    if not {*LEFT} <= {*files, "manifest.json"} or any(Path(name).name != name for name in files):
        raise ValueError("manifest.json does not list the files that a stage leaves")
    for name, digest in files.items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{name} is not the file that was written")
    return seconds, steps


def _digest(file: Path) -> str:
    with open_regular(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
