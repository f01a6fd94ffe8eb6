"""The real side of a measurement: features and statistics, worked out once and used many times."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.media.image.extractors.base import Extractor
from luoxia.media.image.meanings import MEANINGS
from luoxia.metrics import classes as class_metrics
from luoxia.metrics.frechet import Gaussian, frechet_distance, frechet_interval, symmetric_sqrt
from luoxia.metrics.intervals import Estimate
from luoxia.metrics.neighbors import nearest
from luoxia.metrics.score import Meaning, Score

VERSION = 1  # raise it whenever a metric's value would change
QUERIES = 2000  # real images whose distances to the training set set the scale
SEARCH = 60_000  # training images searched for neighbors

Array = NDArray[Any]


class Reference:
    """Real images, ready to score samples against.

    Args:
        real: training images, uint8 (n, height, width, 1 to 4), n ≥ 2; memory maps are read once, in part.
        extractor: what turns images into features.
        labels: integers (n,); the classes' histogram is theirs, or without them the classifier's.
        classes: names of the classes, for the report.
        heldout: real images that training never saw; they set the scale of memorization.
        seed: draws every subset.
        limit: images of each side that are compared.
        search: training images searched for neighbors of the samples.

    Raises:
        LuoxiaError: fewer than two real images.
    """

    def __init__(
        self,
        real: Array,
        *,
        extractor: Extractor,
        labels: ArrayLike | None = None,
        classes: Sequence[str] = (),
        heldout: Array | None = None,
        seed: int = 0,
        limit: int = 10_000,
        search: int = SEARCH,
    ) -> None:
        if len(real) < 2:
            raise LuoxiaError(f"measuring needs two real images or more, not {len(real)}: give more")
        self.real, self.heldout = real, heldout
        self.extractor, self.classes = extractor, tuple(classes)
        self.seed, self.limit, self.search = seed, max(2, limit), search
        self.order = np.random.default_rng(seed).permutation(len(real))
        images = take(real, self.order[: self.limit])
        self.digest = hashlib.sha256(str(images.shape).encode() + images.tobytes()).hexdigest()[:16]
        self.features: Array = extractor.features(images)
        self.probabilities = extractor.probabilities(self.features)
        self.labels = None if labels is None else np.asarray(labels, np.int64)[self.order[: self.limit]]
        self._floors: dict[int, float | None] = {}

    @property
    def device(self) -> torch.device:
        """Where distances are worked out: beside the extractor."""
        return getattr(self.extractor, "device", torch.device("cpu"))

    @cached_property
    def gaussian(self) -> Gaussian:
        """Mean and covariance of the real features."""
        return Gaussian.fit(self.features)

    @cached_property
    def root(self) -> NDArray[np.float64]:
        """Square root of the covariance (d, d)."""
        return symmetric_sqrt(self.gaussian.covariance)

    @cached_property
    def training(self) -> Array:
        """Features of the training images that are searched, in the order of ``order``."""
        rest = self.order[self.limit : max(self.limit, self.search)]
        if len(rest) == 0:
            return self.features
        parts = [
            self.extractor.features(take(self.real, part))
            for part in np.split(rest, range(8192, len(rest), 8192))
        ]
        return np.concatenate([self.features, *parts])

    @cached_property
    def real_distances(self) -> NDArray[np.float64]:
        """Distances of real images to the training set: held-out ones, else training images to the others."""
        if self.heldout is not None and len(self.heldout):
            rows = np.random.default_rng(self.seed).permutation(len(self.heldout))[: self.limit]
            held = self.extractor.features(take(self.heldout, rows))
            return nearest(held, self.training, device=self.device)[0][:, 0]
        queries = np.arange(min(QUERIES, len(self.training)))
        return nearest(self.training[queries], self.training, skip=queries, device=self.device)[0][:, 0]

    def halves(self, fakes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Split the real rows for a floor: as many as there are fakes, at most half; and the rest.

        None where either part would hold fewer than two.
        """
        part = min(fakes, len(self.features) // 2)
        rows = np.random.default_rng(self.seed + 1).permutation(len(self.features))
        return (rows[:part], rows[part:]) if part >= 2 else None

    def histogram(self) -> NDArray[np.int64] | None:
        """Real images a class (classes,), by label or else by the classifier; None without a classifier."""
        if self.probabilities is None:
            return None
        labels = self.probabilities.argmax(1) if self.labels is None else self.labels
        return class_metrics.histogram(labels, self.probabilities.shape[1])

    def embed(self, fake: Array) -> tuple[Array, Array]:
        """Return rows (m,) of at most ``limit`` samples, and features (m, d); m ≥ 2, else LuoxiaError."""
        if len(fake) < 2:
            raise LuoxiaError(f"measuring needs two samples or more, not {len(fake)}: generate more")
        rows = np.arange(len(fake))
        if len(fake) > self.limit:
            rows = np.sort(np.random.default_rng(self.seed).permutation(len(fake))[: self.limit])
        return rows, self.extractor.features(take(fake, rows))

    def score(
        self,
        name: str,
        heading: str,
        estimate: Estimate,
        reference: float | None,
        fakes: int,
        meaning: Meaning | None = None,
        /,
        **settings: str | int | float,
    ) -> Score:
        """Sign a value: extractor, weights, resizer, counts, real images, seed, version, ``settings``.

        ``meaning`` is that of ``MEANINGS`` where none is given.
        """
        signature: dict[str, str | int | float] = {
            **self.extractor.signature,
            "fakes": fakes,
            "reals": len(self.features),
            "real": self.digest,
            "seed": self.seed,
            "version": VERSION,
            **settings,
        }
        stated = meaning or MEANINGS[name.partition("-")[0]]
        return Score(name, *estimate, reference, heading, signature, *stated)

    def frechet(self, features: Array) -> Score:
        """Score the Fréchet distance of sample features (m, d), called FID only for Inception's.

        With m ≤ d the covariance is singular and the distance far too large; it is signed with a caveat.
        """
        name = "FID" if self.extractor.name == "inception" else f"FD-{self.extractor.name}"
        estimate = frechet_interval(features, self.gaussian, root_b=self.root)
        few = min(len(features), len(self.features)) <= features.shape[1]
        caveat = {"caveat": "fewer samples than features"} if few else {}
        floor = self.frechet_floor(len(features))
        return self.score(name, "authenticity", estimate, floor, len(features), **caveat)

    def frechet_floor(self, fakes: int) -> float | None:
        """Fréchet distance between the two ``halves``, worked out once for each number of fakes.

        Between equal distributions it is bias alone, proportional to 1/m + 1/n (Chong and Forsyth 2020,
        arXiv:1911.07023), so it is scaled from the counts of the halves to those of the score.
        """
        if fakes not in self._floors:
            halves, floor = self.halves(fakes), None
            if halves is not None:
                distance = frechet_distance(*(Gaussian.fit(self.features[half]) for half in halves))
                counts = 1 / len(halves[0]) + 1 / len(halves[1])
                floor = distance * (1 / fakes + 1 / len(self.features)) / counts
            self._floors[fakes] = floor
        return self._floors[fakes]

    def class_scores(self, probabilities: Array | None) -> list[Score]:
        """Score the classes seen in samples, probabilities (m, classes): divergence, and number covered."""
        real = self.histogram()
        if probabilities is None or real is None or self.probabilities is None:
            return []
        seen = class_metrics.histogram(probabilities.argmax(1), len(real))
        floor, halves = None, self.halves(len(probabilities))
        if halves is not None:
            half = class_metrics.histogram(self.probabilities[halves[0]].argmax(1), len(real))
            floor = class_metrics.divergence(half, real)
        divergence = class_metrics.divergence_interval(seen, real, seed=self.seed)
        count = Estimate(float(class_metrics.covered(seen)), None, None)
        most = float(class_metrics.covered(real))
        return [
            self.score("class divergence", "plausibility", divergence, floor, len(probabilities)),
            self.score("classes", "plausibility", count, most, len(probabilities)),
        ]

    def quick(self, fake: Array) -> list[Score]:
        """Score samples, uint8 (m, h, w, c), in about a second: Fréchet distance and classes."""
        return self.quick_of(self.embed(fake)[1])

    def quick_of(self, features: Array) -> list[Score]:
        """``quick`` of sample features (m, d)."""
        return [self.frechet(features), *self.class_scores(self.extractor.probabilities(features))]


def take(images: Array, rows: Array) -> Array:
    """Gather rows in ascending order, as a memory map reads fastest; return them in the order asked."""
    ascending = np.argsort(rows, kind="stable")
    gathered = np.empty((len(rows), *images.shape[1:]), images.dtype)
    gathered[ascending] = images[rows[ascending]]
    return gathered
