"""One training, put together: data, recipe, trainer, and what happens beside it, whatever the medium."""

from __future__ import annotations

import contextlib
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import torch

from luoxia import __version__
from luoxia.core.config import flatten
from luoxia.core.files import new_version, write_file
from luoxia.core.names import many
from luoxia.core.tensors import store
from luoxia.provenance.label import Label
from luoxia.runs.display import Display
from luoxia.runs.report import write_report
from luoxia.runs.run import Run, with_nan
from luoxia.runs.trackers import open_tracker
from luoxia.tasks.menu import Recipe
from luoxia.training import own
from luoxia.training.checkpoint import load_latest
from luoxia.training.determinism import deterministic, wants_determinism
from luoxia.training.distributed import World
from luoxia.training.doctor import Doctor
from luoxia.training.hardware import (
    capability,
    choose_precision,
    device_name,
    differences,
    keep_freed_memory,
    versions,
)
from luoxia.training.loop import Hooks, Loop, QuickScore, wants_compile
from luoxia.training.objective import Objective, Phase, Rng
from luoxia.training.recipe import NO_LIMIT
from luoxia.training.stopping import SignalHandler
from luoxia.training.trainer import Trainer

MODEL_FILES = ("model.safetensors", "config.json", "README.md", "tokeniser.json", "huggingface", "adapter")
"""What a model folder may hold; anything else in it is the user's."""


class Session:
    """A training in progress, or about to be. Each medium has its own subclass, which knows its data and its scores."""

    exported: ClassVar[str]
    """What the model folder holds, as ``config.json`` calls it."""
    network: ClassVar[str]
    """The network that is sampled, measured and exported."""
    unit: ClassVar[str] = "images"
    """What the rate counts."""

    def __init__(
        self, recipe: Any, run: Run, dataset: Any, world: World, display: Display, *, resumed: bool = False
    ) -> None:
        self.recipe = recipe
        self.resumed = resumed
        self.run = run
        self.dataset = dataset
        self.world = world
        self.display = display
        self.stopper = SignalHandler()
        self.prepare()
        self.dtype = choose_precision(recipe.precision, world.device)
        with torch.random.fork_rng(devices=[]):  # what the caller draws stays as it was
            torch.default_generator.manual_seed(recipe.seed)  # initial weights, the same in every process
            self.trainer = Trainer(
                self.objective(),
                self.recipe,
                self.batch,
                world,
                run.checkpoints,
                self.dtype,
                compiled=wants_compile(recipe.compile, world.device, recipe.steps, recipe.budget),
            )

    # ------------------------------------------------------------------ what each medium says for itself

    @staticmethod
    def open_data(recipe: Any, display: Display | None = None) -> Any:
        """The data set that the recipe names, with ``spec``, ``source``, ``fingerprint``, ``skipped`` and a length."""
        raise NotImplementedError

    @staticmethod
    def settle(recipe: Any, dataset: Any) -> dict[str, Any]:
        """Settings of the recipe that the data decides."""
        return {}

    @classmethod
    def tuned(cls, model: str, settings: dict[str, Any]) -> tuple[str | type[Recipe], dict[str, Any]]:
        """The recipe and the settings of a training that goes on from a trained model of this kind."""
        raise NotImplementedError

    @staticmethod
    def announce(dataset: Any) -> str:
        """The data set in a line."""
        raise NotImplementedError

    @staticmethod
    def skipped(dataset: Any) -> str:
        """How much of the data could not be used, in words."""
        return many(len(dataset.skipped), "file")

    def prepare(self) -> None:
        """Split the data and make what ``batch`` needs, before there is a trainer."""

    def objective(self) -> Objective:
        """What is trained."""
        built: Objective = self.recipe.build(self.dataset.spec)
        return built

    def batch(self, phase: Phase, index: int) -> Any:
        """Batch number ``index`` of a phase."""
        raise NotImplementedError

    def observe(self, rng: Rng) -> tuple[Any, Any | None]:
        """A batch of training and one of held-out data, for the objective's ``observe``."""
        raise NotImplementedError

    def sample(self, step: int) -> None:
        """Write to samples/ what the model makes now."""
        raise NotImplementedError

    @property
    def scored(self) -> bool:
        """Whether scores are wanted."""
        return True

    def prepare_scores(self) -> None:
        """Work that the scores need once, before training starts."""

    def quick_score(self, step: int) -> QuickScore | None:
        """Scores in about a second, between two steps."""
        return None

    def measure(self) -> list[dict[str, Any]]:
        """All final scores, as records."""
        raise NotImplementedError

    @staticmethod
    def open_model(
        recipe: Any, config: dict[str, Any], weights: dict[str, torch.Tensor], folder: Path, **common: Any
    ) -> Any:
        """What ``luoxia.load`` returns of a model folder's ``config`` and the network's ``weights``.

        ``common`` is ``details`` and ``device``. Errors of missing or misshapen parts are the caller's to tell.
        """
        raise NotImplementedError

    def describe_model(self) -> dict[str, Any]:
        """What ``luoxia.load`` needs besides the weights and the recipe, for config.json."""
        raise NotImplementedError

    def write_model(self, folder: Path) -> None:
        """Write what lies beside the weights; nothing by default."""

    def describe_data(self) -> dict[str, Any]:
        """The data set, for run.json."""
        raise NotImplementedError

    def describe_origin(self) -> dict[str, Any]:
        """What this training goes on from, for run.json; {} where it begins anew."""
        return {}

    def card(self) -> str:
        """What the model is and how it is used, for a person."""
        raise NotImplementedError

    def write_card(self, what: str, data: str, example: str, warning: str) -> str:
        """A card in Markdown: what the model is, what it learned from, a call in Python, a warning."""
        kind, step = type(self.recipe), self.trainer.progress.step
        return (
            f"# {kind.name or kind.__name__}: {self.run.name}\n\n"
            f"{what}, trained with Luoxia {__version__} for {step:,} steps on {data}.\n\n"
            f"Recipe: {kind.title} ({kind.source}).\n\n"
            f"```python\nimport luoxia\n\n{example}\n```\n\n{warning}\n"
        )

    # ------------------------------------------------------------------ the course of a run

    def start(self, command: str) -> None:
        """Write what is known before the first step."""
        if not self.world.main:
            return
        self.run.write_manifest(
            luoxia=__version__,
            **own.record(type(self.recipe)),
            config=self.recipe.model_dump(mode="json"),
            command=command,
            data=self.describe_data(),
            parameters={name: count(network) for name, network in self.trainer.networks.items()},
            versions=versions(),
            hardware=self._describe_hardware(),
            seed=self.recipe.seed,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            **({"origin": origin} if (origin := self.describe_origin()) else {}),
        )
        if self.dataset.skipped:
            lines = [f"{skipped.name}: {skipped.reason}" for skipped in self.dataset.skipped]
            write_file(self.run.path / "skipped.txt", "\n".join(lines) + "\n")
        self.run.append("event", 0, 0.0, event="started", detail=command)

    def restore(self) -> None:
        """Go back to the newest checkpoint, and drop the records after it."""
        saved = load_latest(self.run.checkpoints)
        self.trainer.restore(saved)
        if self.world.main:
            self.run.rewind(saved.step)
            config = self.recipe.model_dump(mode="json")
            self.run.write_manifest(config=config, **own.record(type(self.recipe)))
            seconds = self.trainer.progress.seconds
            detail = f"from step {saved.step}"
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
        with torch.random.fork_rng(devices=drawn), deterministic(self.recipe, device):
            return self._go()

    def _go(self) -> bool:
        if self.world.main and self.scored:
            self.prepare_scores()
        self.world.barrier()
        hooks = Hooks(
            self.observe, self.sample, self._quick_score, self._export, self.display.log, self.display.tell
        )
        doctor = self._doctor()
        if self.world.main and self.recipe.log != "none":
            config = flatten(self.recipe.model_dump(mode="json"))
            step = self.trainer.progress.step
            self.run.tracker = open_tracker(self.recipe.log, self.run.path, config, step)
        with self.stopper.installed(), self._showing():
            finished = Loop(self.trainer, self.recipe, self.run, doctor, hooks, self.stopper).go()
        if self.world.main:
            self._conclude(finished)
        self.world.barrier()
        return finished

    def _quick_score(self, step: int) -> QuickScore | None:
        return self.quick_score(step) if self.scored else None

    def _doctor(self) -> Doctor:
        """A doctor who knows the run's past."""
        doctor = Doctor(self.recipe, {phase.name: phase.role for phase in self.trainer.phases})
        for record in self.run.records() if self.world.main else ():
            if record["kind"] == "log" and {"gradients", "skipped", "statistics"} <= record.keys():
                doctor.observe_log(record["step"], with_nan(record))
            elif record["kind"] == "score" and "watched" in record:
                doctor.observe_scores(record["step"], classes={}, **with_nan(record["watched"]))
        return doctor

    def _showing(self) -> contextlib.AbstractContextManager[None]:
        if not self.world.main:
            return contextlib.nullcontext()
        goal = (self.recipe.steps, self.recipe.budget)
        return self.display.training(*goal, self.trainer.progress.step, self.unit)

    def _conclude(self, finished: bool) -> None:
        step, seconds = self.trainer.progress.step, self.trainer.progress.seconds
        if finished and self.stopper.signal is None and self.scored:
            self.display.tell("measuring")
            with self.trainer.as_written():
                records = self.measure()
            if records:
                self.run.append("score", step, seconds, scores=records, final=True)
        detail = "" if finished else f"by {self.stopper.signal or 'another process'}"
        self.run.append("event", step, seconds, event="finished" if finished else "stopped", detail=detail)
        write_report(self.run.path)

    def _export(self, step: int) -> None:
        """Write model/: weights, config.json and a card; ``luoxia.load`` needs nothing else. It changes as a whole."""
        weights = self.weights()
        tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
        config = {
            "format": 1,
            "kind": self.exported,
            "luoxia": __version__,
            **own.record(type(self.recipe)),
            "config": self.recipe.model_dump(mode="json"),
            "data": self.dataset.fingerprint,
            "run": self.run.name,
            "step": step,
            **self.describe_model(),
        }
        told = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
        with new_version(self.run.model, MODEL_FILES) as folder:
            store(tensors, folder / "model.safetensors")
            write_file(folder / "config.json", told)
            write_file(folder / "README.md", self.card())
            self.write_model(folder)

    # ------------------------------------------------------------------ descriptions

    def averaged(self, name: str) -> torch.nn.Module:
        """What is sampled and measured of a network: its average, or itself where there is none."""
        return self.trainer.eval_model(name)

    def weights(self) -> dict[str, torch.Tensor]:
        """What the model folder holds of the network."""
        state: dict[str, torch.Tensor] = self.averaged(self.network).state_dict()
        return state

    @property
    def recipe_name(self) -> str:
        """How a command names this recipe: as on the menu, or FILE:CLASS of one's own."""
        told = own.record(type(self.recipe))
        file = f"{told['recipe_file']['name']}:" if "recipe_file" in told else ""
        return file + str(told["recipe"])

    def details(self) -> Label:
        """Where a sample of this moment comes from."""
        return Label(
            recipe=type(self.recipe).name or type(self.recipe).__name__,
            run=self.run.name,
            step=self.trainer.progress.step,
            data=self.dataset.fingerprint,
        )

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


def resolve(recipe: Recipe, settled: dict[str, Any]) -> Any:
    """The recipe with every default settled: by the data, by the folder it was named in, by its budget."""
    if recipe.data is not None:
        settled["data"] = absolute(recipe.data)
    if recipe.budget is not None and "steps" not in recipe.model_fields_set:
        settled["steps"] = NO_LIMIT
    return recipe.model_copy(update=settled)


def absolute(path: str) -> str:
    """The path, wherever the run is resumed from."""
    return str(Path(path).resolve())


def count(network: torch.nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in network.parameters())


def command_line(verb: str, target: str, settings: dict[str, Any]) -> str:
    """The command that does the same again."""
    words = [f"{key}={'none' if value is None else value}" for key, value in settings.items()]
    return " ".join(["luoxia", verb, shlex.quote(target), *map(shlex.quote, words)])
