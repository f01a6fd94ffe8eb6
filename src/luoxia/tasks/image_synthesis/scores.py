"""The scores of a synthesizer: its samples, asked for as the images of training are described, against these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from luoxia.core.order import generator_for
from luoxia.media.image.images import ImageDataset
from luoxia.media.image.reference import Reference
from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.metrics.score import Score
from luoxia.tasks.image_synthesis.conditions import ConditionBatch, ConditionData
from luoxia.tasks.image_synthesis.model import ImageSynthesizer

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8]


@runtime_checkable
class Predicts(Protocol):
    """A generator that tells how likely images are that it has not seen."""

    def predict(
        self,
        data: ImageDataset,
        train: Indices,
        heldout: Indices,
        conditions: Callable[[Indices], ConditionBatch],
    ) -> list[Score]:
        """Scores of the ``heldout`` images of ``data``, given what ``conditions`` says of them."""
        ...


@dataclass
class Judged:
    """A model beside the data that it learned from, ready to be scored."""

    model: ImageSynthesizer
    conditions: ConditionData
    train: Indices
    heldout: Indices
    seed: int
    n: int

    @cached_property
    def asked(self) -> Indices:
        """The images of training by whose conditions samples are drawn."""
        return asked(self.train, self.n, self.seed)

    @cached_property
    def samples(self) -> Pixels:
        """The samples that are scored, one for each of ``asked``."""
        return self.model.draw(self.conditions.whole(self.asked), self.seed)

    def measure(self, reference: Reference) -> ImageMeasurement:
        """All scores."""
        return measure_samples(reference, self.samples)


def asked(train: Indices, most: int, seed: int) -> Indices:
    """Images of training, ``most`` in an order that ``seed`` decides, each as often as any other or once more."""
    keys = generator_for("asked", seed, most).random_raw(len(train))
    return np.resize(train[np.argsort(keys, kind="stable")], most)
