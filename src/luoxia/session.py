"""One training, put together: data, recipe, trainer, and what happens beside it."""

from __future__ import annotations

import contextlib
import copy
import json
import platform
import shlex
import sys
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luoxia import __version__
from luoxia.data import ImageDataset, holdout_split, open_images
from luoxia.generation.images import ImageGenerator
from luoxia.metrics.extractors import open_extractor
from luoxia.metrics.images import Measurement, measure
from luoxia.metrics.picture import neighbours_picture
from luoxia.metrics.reference import SEARCH, Reference
from luoxia.objectives.base import Batch, Rng
from luoxia.provenance.files import write_file
from luoxia.provenance.images import enlarge, write_grid, write_png
from luoxia.recipes import ImageGAN
from luoxia.runs.display import Display
from luoxia.runs.report import write_report
from luoxia.runs.run import Run, with_nan
from luoxia.training.batches import ImageBatches
from luoxia.training.checkpoint import load_latest
from luoxia.training.distributed import World
from luoxia.training.doctor import Doctor
from luoxia.training.loop import Hooks, Loop, QuickScore, wants_compile
from luoxia.training.precision import choose_precision, device_name, keep_freed_memory
from luoxia.training.stopping import Stopper
from luoxia.training.trainer import Trainer

GRID = 64
"""Images in a sample grid: always those of the same latents."""

NO_LIMIT = 1_000_000_000
"""Steps of a run that only its budget ends."""


def open_data(recipe: ImageGAN, display: Display | None = None) -> ImageDataset:
    """The data set that a recipe's ``data``, ``size``, ``crop`` and ``channels`` name."""
    size = None if recipe.size is None else "x".join(map(str, recipe.size))
    progress = display.decoding if display else None
    return open_images(recipe.data, size, recipe.crop, recipe.channels, progress=progress)


def resolve(recipe: ImageGAN, dataset: ImageDataset) -> ImageGAN:
    """The recipe with every default settled: the data's size and channels, the steps of a budget."""
    spec = dataset.spec
    settled: dict[str, Any] = {"size": (spec.height, spec.width), "channels": spec.channels}
    if recipe.data is not None:
        settled["data"] = str(Path(recipe.data).resolve())
    if recipe.budget is not None and "steps" not in recipe.model_fields_set:
        settled["steps"] = NO_LIMIT
    return recipe.model_copy(update=settled)


class Session:
    """A training in progress, or about to be."""

    def __init__(
        self, recipe: ImageGAN, run: Run, dataset: ImageDataset, world: World, display: Display
    ) -> None:
        self.recipe = recipe
        self.run = run
        self.dataset = dataset
        self.world = world
        self.display = display
        self.stopper = Stopper()
        train, heldout = holdout_split(len(dataset), recipe.holdout, recipe.seed)
        if recipe.holdout == 0:
            train, heldout = np.arange(len(dataset)), heldout[:0]
        self.train_indices, self.heldout_indices = train, heldout
        labelled = recipe.condition != "none"
        self.batches = ImageBatches(dataset, train, recipe.batch, recipe.seed, world, labelled)
        torch.manual_seed(recipe.seed)  # the initial weights, the same in every process
        keep_freed_memory()
        self.dtype = choose_precision(recipe.precision, world.device)
        self.trainer = Trainer(
            recipe.build(dataset.spec),
            recipe,
            self.batches,
            world,
            run.checkpoints,
            self.dtype,
            compiled=wants_compile(recipe.compile, world.device, recipe.steps, recipe.budget),
        )

    # ------------------------------------------------------------------ the course of a run

    def start(self, command: str) -> None:
        """Write what is known before the first step."""
        if not self.world.main:
            return
        self.run.write_manifest(
            luoxia=__version__,
            recipe=self.recipe_name,
            config=self.recipe.model_dump(mode="json"),
            command=command,
            data=self._describe_data(),
            parameters={name: count(network) for name, network in self.trainer.networks.items()},
            versions={
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
            },
            hardware=self._describe_hardware(),
            seed=self.recipe.seed,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
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
            self.run.write_manifest(config=self.recipe.model_dump(mode="json"))
            detail = f"from step {saved.step}"
            self.run.append(
                "event", saved.step, self.trainer.progress.seconds, event="resumed", detail=detail
            )
            if saved.state["world_size"] != self.world.size:
                self.display.tell(
                    f"the run had {saved.state['world_size']} processes and has {self.world.size} now: "
                    "it goes on, but not bit for bit"
                )

    def go(self) -> bool:
        """Train to the end; False when a signal came first."""
        if self.world.main and self.recipe.extractor != "none":
            self.display.tell("preparing scores")
            _ = self.reference
        self.world.barrier()
        doctor = self._doctor()
        hooks = Hooks(
            self._observe, self._sample, self._quick_score, self._export, self.display.log, self.display.tell
        )
        with self.stopper.listening(), self._showing():
            loop = Loop(self.trainer, self.recipe, self.run, doctor, hooks, self.stopper)
            finished = loop.go()
        if self.world.main:
            self._conclude(finished)
        self.world.barrier()
        return finished

    def _doctor(self) -> Doctor:
        """A doctor who knows the run's past."""
        doctor = Doctor(self.recipe)
        for record in self.run.records() if self.world.main else ():
            if record["kind"] == "log":
                doctor.hear_log(record["step"], with_nan(record))
            elif record["kind"] == "score" and not record["final"]:
                first = with_nan(record["scores"][0])
                doctor.hear_scores(record["step"], first["value"], np.nan_to_num(first["floor"]), {})
        return doctor

    def _showing(self) -> contextlib.AbstractContextManager[None]:
        if not self.world.main:
            return contextlib.nullcontext()
        return self.display.training(self.recipe.steps, self.recipe.budget, self.trainer.progress.step)

    def _conclude(self, finished: bool) -> None:
        step, seconds = self.trainer.progress.step, self.trainer.progress.seconds
        if finished and self.recipe.extractor != "none" and self.stopper.signal is None:
            self.display.tell("measuring")
            measurement = self.measure()
            records = [score.as_dict() for score in measurement.scores]
            self.run.append("score", step, seconds, scores=records, final=True)
        detail = "" if finished else f"by {self.stopper.signal}"
        self.run.append("event", step, seconds, event="finished" if finished else "stopped", detail=detail)
        write_report(self.run.path)

    def measure(self) -> Measurement:
        """All scores of the present average, and the picture of its nearest training neighbours."""
        fakes = self.generator().sample(self.recipe.score_samples, seed=self.score_seed)
        measurement = measure(self.reference, fakes)
        picture_neighbours(self.run, fakes, self.reference.real, measurement)
        return measurement

    # ------------------------------------------------------------------ beside the training

    @cached_property
    def reference(self) -> Reference:
        """The real side of every score of this run."""
        train, heldout, seed = self.train_indices, self.heldout_indices, self.score_seed
        limit = max(self.recipe.score_samples, 10_000)
        return make_reference(self.recipe.extractor, self.dataset, train, heldout, seed=seed, limit=limit)

    @property
    def score_seed(self) -> int:
        """Seed of the samples that are scored, and of every subset: never that of the sample grids."""
        return self.recipe.seed + 1

    def generator(self) -> ImageGenerator:
        """What is sampled and measured: the average, or a copy of the generator where there is none."""
        average = self.trainer.averages.get("generator")
        network = average.module if average else copy.deepcopy(self.trainer.networks["generator"])
        return ImageGenerator(
            network, classes=self.dataset.classes, details=self._details(), device=self.world.device
        )

    def _observe(self, rng: Rng) -> tuple[Batch, Batch | None]:
        return self._pick(self.train_indices, rng), self._pick(self.heldout_indices, rng)  # type: ignore[return-value]

    def _pick(self, indices: Any, rng: Rng) -> Batch | None:
        if len(indices) == 0:
            return None
        rows = rng.integers(0, len(indices), min(len(indices), max(64, self.recipe.batch))).cpu().numpy()
        return self.batches.gather(indices[rows])

    def _sample(self, step: int) -> None:
        generator = self.generator()
        columns = (
            len(self.dataset.classes) if generator.conditional and len(self.dataset.classes) <= 16 else None
        )
        n = columns * max(1, GRID // columns) if columns else GRID
        images = generator.sample(n, seed=self.recipe.seed)
        path = self.run.path / "samples" / f"step_{step:06d}.png"
        write_grid(path, images, {**self._details(), "seed": self.recipe.seed}, columns)

    def _quick_score(self, step: int) -> QuickScore | None:
        if self.recipe.extractor == "none":
            return None
        fakes = self.generator().sample(min(2000, self.recipe.score_samples), seed=self.score_seed)
        scores = self.reference.quick(fakes)
        distance = scores[0]
        shares = self._class_shares(fakes)
        return QuickScore([s.as_dict() for s in scores], distance.value, distance.floor or 0.0, shares)

    def _class_shares(self, fakes: Any) -> dict[str, float]:
        extractor = self.reference.extractor
        probabilities = extractor.probabilities(extractor.features(fakes[:500]))
        if probabilities is None:
            return {}
        shares = np.bincount(probabilities.argmax(1), minlength=len(self.dataset.classes)) / len(
            probabilities
        )
        return dict(zip(self.dataset.classes, shares.tolist(), strict=True))

    def _export(self, step: int) -> None:
        average = self.trainer.averages.get("generator")
        network = average.module if average else self.trainer.networks["generator"]
        export(self.run, network, self.recipe_name, self.recipe, self.dataset, step)

    # ------------------------------------------------------------------ descriptions

    @property
    def recipe_name(self) -> str:
        """What finds this recipe again: its name on the menu, or FILE:CLASS for a user's own."""
        kind = type(self.recipe)
        if kind.__module__.startswith("luoxia."):
            return kind.name
        return f"{Path(sys.modules[kind.__module__].__file__ or '').resolve()}:{kind.__name__}"

    def _details(self) -> dict[str, Any]:
        return {
            "recipe": type(self.recipe).name or type(self.recipe).__name__,
            "run": self.run.name,
            "step": self.trainer.progress.step,
            "data": self.dataset.fingerprint,
            "generator": f"Luoxia {__version__}",
        }

    def _describe_data(self) -> dict[str, Any]:
        spec = self.dataset.spec
        return {
            "source": self.dataset.source,
            "path": self.recipe.data,
            "fingerprint": self.dataset.fingerprint,
            "count": len(self.dataset),
            "train": len(self.train_indices),
            "heldout": len(self.heldout_indices),
            "height": spec.height,
            "width": spec.width,
            "channels": spec.channels,
            "classes": list(self.dataset.classes),
            "labelled": self.dataset.labels is not None,
            "skipped": len(self.dataset.skipped),
        }

    def _describe_hardware(self) -> dict[str, Any]:
        return {
            "device": str(self.world.device),
            "name": device_name(self.world.device),
            "processes": self.world.size,
            "threads": torch.get_num_threads(),
            "precision": {torch.bfloat16: "bf16", torch.float32: "fp32"}[self.dtype],
        }


def make_reference(
    extractor: str, dataset: ImageDataset, train: Any, heldout: Any, *, seed: int, limit: int = 10_000
) -> Reference:
    """The real side of a measurement of a model trained on ``train`` and never on ``heldout`` (indices).

    Of a large data set, as many images as are searched for neighbours are read, drawn by ``seed``.
    """
    opened = open_extractor(extractor, dataset.images, dataset.labels, fingerprint=dataset.fingerprint)
    if len(train) > SEARCH:
        train = np.sort(np.random.default_rng(seed).permutation(train)[:SEARCH])
    labels = None if dataset.labels is None else np.asarray(dataset.labels)[train]
    real = dataset.images[train] if len(train) < len(dataset) else dataset.images
    held = dataset.images[heldout] if len(heldout) else None
    return Reference(
        real, extractor=opened, labels=labels, classes=dataset.classes, heldout=held, seed=seed, limit=limit
    )


def picture_neighbours(run: Run, fakes: Any, real: Any, measurement: Measurement) -> None:
    """Write scores/neighbours.png: the samples closest to the training set, each beside its nearest image."""
    picture = neighbours_picture(fakes, real, measurement.neighbours.pairs)
    write_png(run.path / "scores" / "neighbours.png", enlarge(picture, 448), {"run": run.name})


def export(
    run: Run, network: torch.nn.Module, recipe_name: str, recipe: ImageGAN, dataset: ImageDataset, step: int
) -> None:
    """Write model/: weights, config.json and a card; ``luoxia.load`` needs nothing else."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    spec = dataset.spec
    config = {
        "format": 1,
        "kind": "image generator",
        "luoxia": __version__,
        "recipe": recipe_name,
        "config": recipe.model_dump(mode="json"),
        "spec": {
            "height": spec.height,
            "width": spec.width,
            "channels": spec.channels,
            "classes": spec.classes,
        },
        "classes": list(dataset.classes),
        "data": dataset.fingerprint,
        "run": run.name,
        "step": step,
    }
    write_file(run.model / "model.safetensors", save(tensors))
    write_file(run.model / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    write_file(run.model / "README.md", _card(run, recipe, dataset, step))


def _card(run: Run, recipe: ImageGAN, dataset: ImageDataset, step: int) -> str:
    spec = dataset.spec
    kind = type(recipe)
    return (
        f"# {kind.name or kind.__name__}: {run.name}\n\n"
        f"A generator of {spec.height} × {spec.width} images ({spec.channels} channels), trained with Luoxia "
        f"{__version__} for {step:,} steps on {dataset.source} ({len(dataset):,} images).\n\n"
        f"Recipe: {kind.title} ({kind.source}).\n\n"
        "```python\nimport luoxia\n\n"
        'images = luoxia.load("PATH/TO/THIS/FOLDER").sample(16, seed=0)  # uint8 (n, h, w, c)\n```\n\n'
        "What it generates is synthetic. It can resemble its training images: see the neighbours in the run's report.\n"
    )


def count(network: torch.nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in network.parameters())


def command_line(verb: str, target: str, settings: dict[str, Any]) -> str:
    """The command that does the same again."""
    words = [f"{key}={'none' if value is None else value}" for key, value in settings.items()]
    return " ".join(["luoxia", verb, shlex.quote(target), *map(shlex.quote, words)])
