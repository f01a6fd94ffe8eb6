"""What trainings of images share: scores against the real ones, and the nearest of them as a picture."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.formats import png
from luoxia.media.image.extractors.base import open_extractor
from luoxia.media.image.images import ImageDataset
from luoxia.media.image.neighbor_grid import neighbor_grid
from luoxia.media.image.reference import SEARCH, Reference
from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.media.image.writer import enlarge
from luoxia.provenance.label import Label
from luoxia.runs.run import Run
from luoxia.training.loop import QuickScore
from luoxia.training.stage import Stage

Indices = NDArray[np.int64]
Real = tuple[ImageDataset, Indices, Indices]
"""Images, and which of them were trained on and held out."""


class ImageStage(Stage):
    """A training whose results are images."""

    @property
    def real(self) -> Real:
        """What its results are to be like."""
        raise NotImplementedError

    def results(self, most: int) -> NDArray[np.uint8]:
        """Up to ``most`` of its results at this moment, uint8 (n, height, width, channels)."""
        raise NotImplementedError

    @property
    def scored(self) -> bool:
        """Not without an extractor."""
        return bool(self.recipe.extractor != "none")

    def prepare_scores(self) -> None:
        """Embed the real side."""
        self.context.tell("computing reference features")
        _ = self.reference

    @cached_property
    def reference(self) -> Reference:
        """The real side of every score of this run."""
        limit = max(self.recipe.score_samples, 10_000)
        return make_reference(
            self.recipe.extractor, *self.real, seed=self.score_seed, limit=limit, device=self.world.device
        )

    @property
    def score_seed(self) -> int:
        """Seed of the samples that are scored, and of every subset: never that of the sample grids."""
        return int(self.recipe.seed + 1)

    def quick_score(self) -> QuickScore | None:
        """The Fréchet distance, and the classes seen."""
        fakes = self.results(min(2000, self.recipe.score_samples))
        features = self.reference.embed(fakes)[1]
        scores = self.reference.quick_of(features)
        distance = scores[0]
        shares = self._class_shares(features)
        return QuickScore([s.as_dict() for s in scores], distance.value, distance.reference or 0.0, shares)

    def _class_shares(self, features: Any) -> dict[str, float]:
        probabilities = self.reference.extractor.probabilities(features)
        if probabilities is None:
            return {}
        classes = self.real[0].classes
        counts = np.bincount(probabilities.argmax(1), minlength=len(classes))
        return dict(zip(classes, (counts / len(probabilities)).tolist(), strict=True))

    def describe_data(self) -> dict[str, Any]:
        """The images, for run.json; each kind adds its own."""
        dataset, spec = self.data, self.data.spec
        return {
            "source": dataset.source,
            "path": self.recipe.data,
            "fingerprint": dataset.fingerprint,
            "count": len(dataset),
            "height": spec.height,
            "width": spec.width,
            "channels": spec.channels,
            "skipped": len(dataset.skipped),
        }

    def evaluate(self) -> list[dict[str, Any]]:
        """All scores of the present average, and the picture of its nearest training neighbors."""
        fakes = self.results(self.recipe.score_samples)
        measurement = measure_samples(self.reference, fakes)
        write_neighbor_grid(self.context.run, fakes, self.reference.real, measurement)
        return [score.as_dict() for score in measurement.scores]


def make_reference(
    extractor: str,
    dataset: ImageDataset,
    train: Any,
    heldout: Any,
    *,
    seed: int,
    limit: int = 10_000,
    device: torch.device | str = "cpu",
) -> Reference:
    """The real side of a measurement of a model trained on ``train`` and never on ``heldout`` (indices).

    Of a large data set, as many images as are searched for neighbors are read, drawn by ``seed``.
    """
    opened = open_extractor(
        extractor, dataset.images, dataset.labels, fingerprint=dataset.fingerprint, device=device
    )
    if len(train) > SEARCH:
        train = np.sort(np.random.default_rng(seed).permutation(train)[:SEARCH])
    labels = None if dataset.labels is None else np.asarray(dataset.labels)[train]
    real = dataset.images[train] if len(train) < len(dataset) else dataset.images
    held = dataset.images[heldout] if len(heldout) else None
    return Reference(
        real, extractor=opened, labels=labels, classes=dataset.classes, heldout=held, seed=seed, limit=limit
    )


def write_neighbor_grid(run: Run, fakes: Any, real: Any, measurement: ImageMeasurement) -> None:
    """Write scores/neighbors.png: the samples closest to the training set, each beside its nearest image."""
    picture = neighbor_grid(fakes, real, measurement.neighbors.pairs)
    png.write(enlarge(picture, 448), Label(run=run.name), run.path / "scores" / "neighbors.png")
