"""The scores of a synthesizer, under three headings, each beside what it is judged against.

Samples are asked for as the images of training are described. A linear judge on the extractor's features, which learned
from real images, says whether a class or a field's value is that asked for; another, which learned from samples alone,
says how much of the classes they teach (CAS, Ravuri & Vinyals 2019, arXiv:1905.10887). Captions of held-out images are
drawn, and the image that belongs to each is looked for among the others. Half of held-out images is hidden and painted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from luoxia.core.order import generator_for, spread
from luoxia.media.image.captions import CaptionedImages
from luoxia.media.image.images import ImageDataset
from luoxia.media.image.reference import Reference, take
from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.metrics.intervals import mean, share
from luoxia.metrics.neighbors import memorized, nearest, threshold
from luoxia.metrics.probe import LinearProbe
from luoxia.metrics.score import HEADINGS, HIGHER, LOWER, Score
from luoxia.tasks.image_synthesis.conditions import ConditionBatch, ConditionData
from luoxia.tasks.image_synthesis.model import ImageSynthesizer
from luoxia.tasks.image_synthesis.rules import UNGUIDED

Indices = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Features = NDArray[Any]
Side = tuple[Features, Indices]
"""Features (n, d), and the number of what is asked for or seen (n,)."""
SEARCH = 5_000
"""Images of training that a judge learns from, where the reference does not hold all of them."""
CANDIDATES, WITHIN = 100, 10
"""Held-out images among which the one of a caption is looked for, and how near it must be: a tenth of them."""
HALVES, DRAWS = 16, 4
"""Held-out images that are painted, and samples of each."""

MEANINGS = {
    "accuracy": HIGHER(
        "Share of samples that show what was asked for, by a judge that learned from real images."
    ),
    "CAS": HIGHER("Share of real images that a classifier gets right which learned from samples alone."),
    "caption retrieval": HIGHER(
        "Share of held-out captions whose sample is nearer to their own image than to nine tenths of the others."
    ),
    "inpainting error": LOWER(
        "Levels, of 255, by which one sample of the hidden half misses the real one (RMS)."
    ),
    "inpainting error of the mean": LOWER("The same of the mean of several samples."),
    UNGUIDED: LOWER(
        "Share of samples drawn with guidance=1 that are as close to a training image as a copy."
    ),
}


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
    """A model beside the data that it learned from, ready to be scored.

    ``train`` and ``heldout`` index ``data``; ``n`` samples of ``seed`` are drawn.
    """

    model: ImageSynthesizer
    data: CaptionedImages
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
        """All scores, by heading."""
        measured = measure_samples(reference, self.samples)
        own = [
            *self._accuracies(reference), *self._retrieval(reference), *self._inpainting(), *self.unguided(reference),
        ]  # fmt: skip
        order = list(HEADINGS)
        scores = sorted([*measured.scores, *own], key=lambda score: order.index(score.heading))
        return ImageMeasurement(scores, measured.neighbors)

    # ------------------------------------------------------------------ whether it shows what was asked for

    def _accuracies(self, reference: Reference) -> Iterator[Score]:
        """Of the class and of each field: samples by a judge of real images, and real images by one of samples."""
        groups = self.conditions.groups()
        if not groups:
            return
        rows, train = self._training(reference)
        samples = reference.extractor.features(self.samples)
        held = train[:0]
        if len(self.heldout):
            held = reference.extractor.features(take(self.data.images, self.heldout))
        for name, values in groups.items():
            sides = [
                (features[known], labels[known])
                for features, labels in (
                    (train, values[rows]),
                    (samples, values[self.asked]),
                    (held, values[self.heldout]),
                )
                for known in [labels >= 0]
            ]
            if all(len(np.unique(labels)) > 1 for _, labels in sides[:2]):
                yield from self._judged(reference, name, int(values.max()) + 1, *sides)

    def _judged(
        self, reference: Reference, name: str, many: int, train: Side, samples: Side, held: Side
    ) -> Iterator[Score]:
        """The accuracy of samples, and that of a classifier which they taught, of one group of ``many`` values."""
        judge = LinearProbe(*train, many)
        common = float(np.bincount(train[1]).max() / len(train[1]))
        null: dict[str, str | float] = {"null": "the commonest answer", "null value": round(common, 4)}
        floor = float((judge.predict(held[0]) == held[1]).mean()) if len(held[1]) else None
        right = share(judge.predict(samples[0]) == samples[1])
        title, real = f"{name} accuracy", {"reference": "held-out images"}
        yield reference.score(
            title, "plausibility", right, floor, len(samples[1]), MEANINGS["accuracy"], **null, **real
        )
        if not len(held[1]):
            return
        chosen = asked(np.arange(len(train[1])), len(samples[1]), self.seed)
        equal = LinearProbe(train[0][chosen], train[1][chosen], many)
        floor = float((equal.predict(held[0]) == held[1]).mean())
        taught = share(LinearProbe(*samples, many).predict(held[0]) == held[1])
        title, real = "CAS" if name == "class" else f"CAS of {name}", {"reference": "as many real images"}
        yield reference.score(
            title, "plausibility", taught, floor, len(samples[1]), MEANINGS["CAS"], **null, **real
        )

    def _training(self, reference: Reference) -> tuple[Indices, Features]:
        """Images of training and their features: those of the reference, which searches them for neighbors."""
        if len(reference.real) == len(self.train):
            return self.train[reference.order[: len(reference.training)]], reference.training
        chosen = spread(self.train, SEARCH)
        return chosen, reference.extractor.features(take(self.data.images, chosen))

    def _retrieval(self, reference: Reference) -> Iterator[Score]:
        """Captions of held-out images, drawn; the null model swaps the captions."""
        if not self.model.spec.text:
            return
        captioned = np.array([bool(self.data.captions.texts[index]) for index in self.heldout], np.bool_)
        chosen = spread(self.heldout[captioned], CANDIDATES) if captioned.any() else self.heldout[:0]
        if len(chosen) < WITHIN:
            return
        samples = self.model.draw(self.conditions.whole(chosen), self.seed)
        drawn, real = (reference.extractor.features(x) for x in (samples, take(self.data.images, chosen)))
        within = max(1, len(chosen) * WITHIN // CANDIDATES)
        near = nearest(drawn, real, within, device=reference.device)[1]
        own = np.arange(len(chosen))
        hits, swapped = ((near == rows[:, None]).any(1) for rows in (own, np.roll(own, len(own) // 2)))
        signature: dict[str, str | int] = {
            "candidates": len(chosen),
            "within": within,
            "reference": "swapped captions",
        }
        name = "caption retrieval"
        yield reference.score(
            name,
            "plausibility",
            share(hits),
            float(swapped.mean()),
            len(chosen),
            MEANINGS[name],
            **signature,
        )

    # ------------------------------------------------------------------ what it paints

    def _inpainting(self) -> Iterator[Score]:
        """The right half of held-out images, painted; beside the best of three models that know nothing."""
        if not self.model.generator.edits or not len(self.heldout):
            return
        chosen = spread(self.heldout, HALVES)
        real = take(self.data.images, chosen)
        half = real.shape[2] // 2
        mask = np.zeros(real.shape[1:3], np.bool_)
        mask[:, half:] = True
        rows = np.repeat(np.arange(len(chosen)), DRAWS)
        painted = self.model.paint(real[rows], mask, self.conditions.whole(chosen[rows]), self.seed)
        painted = painted.reshape(len(chosen), DRAWS, *real.shape[1:])[:, :, :, half:].astype(np.float64)
        hidden = real[:, :, half:].astype(np.float64)
        nulls = self._null_halves(real, half)
        best = min(nulls, key=lambda name: nulls[name])
        signature: dict[str, str | int | float] = {
            "images": len(chosen),
            "seed": self.seed,
            "reference": best,
            "half": "right",
            "draws": DRAWS,
        }
        for name, values in (
            ("inpainting error", painted[:, 0]),
            ("inpainting error of the mean", painted.mean(1)),
        ):
            estimate = mean(_rms(values, hidden))
            yield Score(name, *estimate, nulls[best], "plausibility", signature, *MEANINGS[name])

    def _null_halves(self, real: Pixels, half: int) -> dict[str, float]:
        """The error of the mean image, of the nearest training half, of the column at the edge carried on."""
        known = take(self.data.images, spread(self.train, 2000))
        hidden = real[:, :, half:].astype(np.float64)
        left, seen = (x[:, :, :half].reshape(len(x), -1).astype(np.float64) for x in (known, real))
        closest = nearest(seen, left)[1][:, 0]
        guesses = {
            "mean fill": np.asarray(known[:, :, half:].mean(0, dtype=np.float64))[None],
            "nearest training half": known[closest][:, :, half:].astype(np.float64),
            "edge column": real[:, :, half - 1 : half].astype(np.float64),
        }
        return {name: float(_rms(guess, hidden).mean()) for name, guess in guesses.items()}

    # ------------------------------------------------------------------ whether guidance copies

    def unguided(self, reference: Reference) -> Iterator[Score]:
        """The copy rate without guidance, where samples are drawn with some."""
        if self.model.defaults.guidance == 1 or not self.model.spec.conditional:
            return
        few = self.asked[: min(len(self.asked), 256)]
        samples = self.model.draw(self.conditions.whole(few), self.seed, guidance=1.0)
        yield copy_rate(reference, samples, UNGUIDED)


def copy_rate(reference: Reference, samples: Pixels, name: str) -> Score:
    """Share of samples that lie as close to a training image as a copy would."""
    features = reference.embed(samples)[1]
    distances = nearest(features, reference.training, device=reference.device)[0][:, 0]
    limit = threshold(reference.real_distances, reference.training)
    floor = float(memorized(reference.real_distances, limit).mean())
    estimate = share(memorized(distances, limit))
    return reference.score(name, "creativity", estimate, floor, len(samples), MEANINGS[UNGUIDED])


def asked(train: Indices, most: int, seed: int) -> Indices:
    """Images of training, ``most`` in an order that ``seed`` decides, each as often as any other or once more."""
    keys = generator_for("asked", seed, most).random_raw(len(train))
    return np.resize(train[np.argsort(keys, kind="stable")], most)


def _rms(guess: NDArray[Any], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """The root of the mean squared difference of each image (n,)."""
    errors: NDArray[np.float64] = np.sqrt(((guess - real) ** 2).mean(axis=(1, 2, 3)))
    return errors
