"""Training on images: grids of fixed latents, scores against the real images, the nearest of them as a picture."""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from luoxia import __version__
from luoxia.data import ImageDataset, ImageSpec, holdout_split, open_images
from luoxia.generation.images import ImageGenerator
from luoxia.metrics.extractors import open_extractor
from luoxia.metrics.images import Measurement, measure
from luoxia.metrics.picture import neighbours_picture
from luoxia.metrics.reference import SEARCH, Reference
from luoxia.objectives.base import Batch, Phase, Rng
from luoxia.provenance.images import enlarge, write_grid, write_png
from luoxia.recipes import AdversarialRecipe
from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.sessions.base import Session
from luoxia.training.batches import ImageBatches
from luoxia.training.loop import QuickScore

GRID = 64
"""Images in a sample grid: always those of the same latents."""


class ImageSession(Session):
    """The training of an image generator."""

    exported: ClassVar[str] = "image generator"
    network: ClassVar[str] = "generator"
    recipe: AdversarialRecipe
    dataset: ImageDataset

    @staticmethod
    def open_data(recipe: AdversarialRecipe, display: Display | None = None) -> ImageDataset:
        """The images that a recipe's ``data``, ``size``, ``crop`` and ``channels`` name."""
        size = None if recipe.size is None else "x".join(map(str, recipe.size))
        progress = display.decoding if display else None
        return open_images(recipe.data, size, recipe.crop, recipe.channels, progress=progress)

    @staticmethod
    def settle(recipe: AdversarialRecipe, dataset: ImageDataset) -> dict[str, Any]:
        """The data's size and channels."""
        spec = dataset.spec
        return {"size": (spec.height, spec.width), "channels": spec.channels}

    @staticmethod
    def announce(dataset: ImageDataset) -> str:
        """Number, shape and classes."""
        spec = dataset.spec
        classes = f", {len(dataset.classes)} classes" if dataset.classes else ""
        shape = f"{spec.height} × {spec.width} × {spec.channels}"
        return f"{len(dataset):,} images of {shape}{classes}, {dataset.source}"

    def prepare(self) -> None:
        """Hold some images back, and serve the rest in batches."""
        recipe, dataset = self.recipe, self.dataset
        train, heldout = holdout_split(len(dataset), recipe.holdout, recipe.seed)
        if recipe.holdout == 0:
            train, heldout = np.arange(len(dataset)), heldout[:0]
        self.train_indices, self.heldout_indices = train, heldout
        labelled = recipe.condition != "none"
        self.batches = ImageBatches(dataset, train, recipe.batch, recipe.seed, self.world, labelled)

    def batch(self, phase: Phase, index: int) -> Batch:
        """Real images."""
        return self.batches(phase, index)

    def observe(self, rng: Rng) -> tuple[Batch, Batch | None]:
        """Some images of either side."""
        return self._pick(self.train_indices, rng), self._pick(self.heldout_indices, rng)  # type: ignore[return-value]

    def _pick(self, indices: Any, rng: Rng) -> Batch | None:
        if len(indices) == 0:
            return None
        rows = rng.integers(0, len(indices), min(len(indices), max(64, self.recipe.batch))).cpu().numpy()
        return self.batches.gather(indices[rows])

    # ------------------------------------------------------------------ samples and scores

    def generator(self) -> ImageGenerator:
        """What is sampled and measured."""
        network = self.averaged(self.network)
        if network is self.trainer.networks[self.network]:
            network = copy.deepcopy(network)
        return ImageGenerator(
            network, classes=self.dataset.classes, details=self.details(), device=self.world.device
        )

    def sample(self, step: int) -> None:
        """A grid of the same latents, a column a class."""
        generator = self.generator()
        columns = (
            len(self.dataset.classes) if generator.conditional and len(self.dataset.classes) <= 16 else None
        )
        n = columns * max(1, GRID // columns) if columns else GRID
        images = generator.sample(n, seed=self.recipe.seed)
        path = self.run.path / "samples" / f"step_{step:06d}.png"
        write_grid(path, images, {**self.details(), "seed": self.recipe.seed}, columns)

    def prepare_scores(self) -> None:
        """Embed the real side."""
        if self.recipe.extractor != "none":
            self.display.tell("preparing scores")
            _ = self.reference

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

    def quick_score(self, step: int) -> QuickScore | None:
        """The Fréchet distance, and the classes seen."""
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
        counts = np.bincount(probabilities.argmax(1), minlength=len(self.dataset.classes))
        return dict(zip(self.dataset.classes, (counts / len(probabilities)).tolist(), strict=True))

    def measure(self) -> list[dict[str, Any]]:
        """All scores of the present average, and the picture of its nearest training neighbours."""
        if self.recipe.extractor == "none":
            return []
        fakes = self.generator().sample(self.recipe.score_samples, seed=self.score_seed)
        measurement = measure(self.reference, fakes)
        picture_neighbours(self.run, fakes, self.reference.real, measurement)
        return [score.as_dict() for score in measurement.scores]

    # ------------------------------------------------------------------ the model folder

    @staticmethod
    def open_model(
        recipe: AdversarialRecipe,
        config: dict[str, Any],
        weights: dict[str, torch.Tensor],
        folder: Path,
        **common: Any,
    ) -> ImageGenerator:
        """The generator of images."""
        network = recipe.build_generator(ImageSpec(**config["spec"]))
        network.load_state_dict(weights)
        return ImageGenerator(network, classes=tuple(config["classes"]), **common)

    def describe_model(self) -> dict[str, Any]:
        """The shape of the images, and the classes."""
        spec = self.dataset.spec
        keys = ("height", "width", "channels", "classes")
        return {"spec": {key: getattr(spec, key) for key in keys}, "classes": list(self.dataset.classes)}

    def describe_data(self) -> dict[str, Any]:
        """The images, for run.json."""
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

    def card(self) -> str:
        """The model card."""
        spec, kind, step = self.dataset.spec, type(self.recipe), self.trainer.progress.step
        return (
            f"# {kind.name or kind.__name__}: {self.run.name}\n\n"
            f"A generator of {spec.height} × {spec.width} images ({spec.channels} channels), trained with Luoxia "
            f"{__version__} for {step:,} steps on {self.dataset.source} ({len(self.dataset):,} images).\n\n"
            f"Recipe: {kind.title} ({kind.source}).\n\n"
            "```python\nimport luoxia\n\n"
            'images = luoxia.load("PATH/TO/THIS/FOLDER").sample(16, seed=0)  # uint8 (n, h, w, c)\n```\n\n'
            "What it generates is synthetic. It can resemble its training images: see the neighbours in the run's "
            "report.\n"
        )


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
