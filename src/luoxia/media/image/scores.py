"""The measurement of generated images, under three headings.

Authenticity: could a sample pass for real (Fréchet distance, kernel distance, precision, density,
confidence). Plausibility: does it make sense as one of these data (class divergence, classes, confident,
outliers). Creativity: is it varied and new (recall, coverage, duplicates, copy rate, nn distance ratio).

The reference is the same metric with real images in place of the samples: two disjoint parts of the real set, the
first as large as the samples (or half of the set); for distances to the training set, held-out images, else
training images with themselves left out. The Fréchet distance's is scaled to the counts of the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.media.image.reference import Reference
from luoxia.metrics import classes as class_metrics
from luoxia.metrics.intervals import Z95, Estimate, mean, share
from luoxia.metrics.kid import kernel_distance
from luoxia.metrics.manifold import DENSITY_K, PRECISION_K, manifold
from luoxia.metrics.neighbors import QUANTILE, duplicates, memorized, nearest, nearest_others, threshold
from luoxia.metrics.score import Score, Scores

SHOWN = 16  # pairs that a measurement keeps for the picture
Array = NDArray[Any]


@dataclass(frozen=True)
class Neighbors:
    """The samples closest to the training set, closest first: three arrays of one length."""

    samples: NDArray[np.int64]  # index of the sample
    training: NDArray[np.int64]  # index of its nearest training image
    distances: NDArray[np.float64]  # between their features

    @property
    def pairs(self) -> NDArray[np.int64]:
        """(k, 2) indices of sample and training image, as ``neighbors_picture`` takes them."""
        return np.stack([self.samples, self.training], axis=1)


@dataclass(frozen=True)
class ImageMeasurement(Scores):
    """All scores of a set of samples, and the pairs that a picture shows."""

    scores: list[Score]
    neighbors: Neighbors

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "scores": [score.as_dict() for score in self.scores],
            "neighbors": {
                "samples": self.neighbors.samples.tolist(),
                "training": self.neighbors.training.tolist(),
                "distances": self.neighbors.distances.tolist(),
            },
        }


def measure_samples(reference: Reference, fake: Array) -> ImageMeasurement:
    """Measure samples, uint8 (m, h, w, c), m ≥ 2, against a reference that may serve again.

    Their size and channels may be others than the real images': the extractor brings both to one. Deterministic given
    the reference's seed. LuoxiaError for fewer than two samples.
    """
    rows, features = reference.embed(fake)
    probabilities = reference.extractor.probabilities(features)
    distances, indices = nearest(features, reference.training, device=reference.device)
    distances, indices = distances[:, 0], indices[:, 0]
    scores = [reference.frechet(features), _kernel(reference, features)]
    scores += _manifold_scores(reference, features)
    scores += _confidence_scores(reference, probabilities)
    scores += reference.class_scores(probabilities)
    scores += [_duplicates(reference, features), *_distance_scores(reference, distances)]
    closest = np.argsort(distances, kind="stable")[:SHOWN]
    neighbors = Neighbors(rows[closest], reference.order[indices[closest]], distances[closest])
    return ImageMeasurement(sorted(scores, key=_heading_order), neighbors)


def _heading_order(score: Score) -> int:
    return ("authenticity", "plausibility", "creativity").index(score.heading)


def _kernel(reference: Reference, features: Array) -> Score:
    seed = reference.seed
    estimate = kernel_distance(features, reference.features, seed=seed)
    halves = reference.halves(len(features))
    floor = None
    if halves is not None:
        floor = kernel_distance(*(reference.features[half] for half in halves), seed=seed).value
    name = f"KID-{reference.extractor.name}" if reference.extractor.name != "inception" else "KID"
    return reference.score(name, "authenticity", estimate, floor, len(features))


def _manifold_scores(reference: Reference, features: Array) -> list[Score]:
    """Compare equally many samples and real images, for these scores depend on both counts."""
    halves = reference.halves(len(features))
    if halves is None:
        real, floor = reference.features, None
    else:
        part = len(halves[0])
        features, real = features[:part], reference.features[halves[1][:part]]
        floor = manifold(reference.features[halves[0]], real, device=reference.device)
    found, n = manifold(features, real, device=reference.device), len(features)
    estimates = {
        "precision": ("authenticity", share(found.precision), PRECISION_K),
        "density": ("authenticity", _positive(mean(found.density)), DENSITY_K),
        "recall": ("creativity", share(found.recall), PRECISION_K),
        "coverage": ("creativity", share(found.coverage), DENSITY_K),
    }
    floors = {name: floor and float(getattr(floor, name).mean()) for name in estimates}
    return [
        reference.score(name, heading, estimate, floors[name], n, neighbors=k, compared=len(real))
        for name, (heading, estimate, k) in estimates.items()
    ]


def _confidence_scores(reference: Reference, probabilities: Array | None) -> list[Score]:
    """Mean certainty of the classifier, and the share of samples of which it is sure."""
    if probabilities is None or reference.probabilities is None:
        return []
    fake, real = (class_metrics.confidence(p) for p in (probabilities, reference.probabilities))
    sure = class_metrics.CONFIDENT
    n = len(fake)
    return [
        reference.score("confidence", "authenticity", mean(fake), float(real.mean()), n),
        reference.score(
            "confident share", "plausibility", share(fake >= sure), float((real >= sure).mean()), n, sure=sure
        ),
    ]


def _duplicates(reference: Reference, features: Array) -> Score:
    """Share of samples with a near copy among the samples, against equally many real images."""
    count = min(len(features), len(reference.features))
    real = reference.features[:count]
    real_distances = nearest_others(real, device=reference.device)[0][:, 0]
    limit = threshold(real_distances, real)
    floor = float((real_distances <= limit).mean())
    estimate = share(duplicates(features[:count], limit, reference.device))
    return reference.score("duplicates", "creativity", estimate, floor, len(features), quantile=QUANTILE)


def _distance_scores(reference: Reference, distances: Array) -> list[Score]:
    """Distances to the training set: too far (outliers), too near (memorized), and their median.

    The scale is that of real images to the training set. The nn distance ratio is the samples' median
    distance over theirs: 1 is as new as a real image, 0 a copy.
    """
    real, n = reference.real_distances, len(distances)
    scale = "training, leave one out" if reference.heldout is None else "held out"
    settings: dict[str, str | int | float] = {
        "searched": len(reference.training),
        "scale": scale,
        "quantile": QUANTILE,
    }
    near, far = threshold(real, reference.training), float(np.quantile(real, 1 - QUANTILE))
    far = max(far, near)
    middle = max(float(np.median(real)), near)
    ratio = Estimate(*(value / middle for value in _median(distances)))
    close, floor = memorized(distances, near), float(memorized(real, near).mean())
    out, out_floor = share(distances > far), float((real > far).mean())
    return [
        reference.score("outliers", "plausibility", out, out_floor, n, **settings),
        reference.score("copy rate", "creativity", share(close), floor, n, **settings),
        reference.score("nn distance ratio", "creativity", ratio, 1.0, n, **settings),
    ]


def _median(values: Array) -> tuple[float, float, float]:
    """Median and the order statistics that bound it with 95% confidence."""
    ranked, half = np.sort(values), Z95 * math.sqrt(len(values)) / 2
    low = max(0, math.floor(len(values) / 2 - half))
    high = min(len(values) - 1, math.ceil(len(values) / 2 + half))
    return float(np.median(values)), float(ranked[low]), float(ranked[high])


def _positive(estimate: Estimate) -> Estimate:
    low = None if estimate.low is None else max(0.0, estimate.low)
    return Estimate(estimate.value, low, estimate.high)
