"""The scores of a synthesizer: its samples, asked for as the images of training are described, against these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from luoxia.core.order import generator_for
from luoxia.media.image.reference import Reference
from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.tasks.image_synthesis.conditions import ConditionData
from luoxia.tasks.image_synthesis.model import ImageSynthesizer

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8]


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
