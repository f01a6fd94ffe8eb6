"""Classes that a model gives to real items: accuracy, F1, confusion matrix, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.intervals import Estimate, share
from luoxia.metrics.resampling import DRAWS, bootstrap, percentiles
from luoxia.metrics.score import HIGHER, LOWER, Score, Scores

VERSION = 1  # raise it whenever a metric's value would change
BINS = 15  # of confidence, Guo et al.'s
CALIBRATED = 100  # draws of a calibrated classifier, for the reference

MEANINGS = {
    "accuracy": HIGHER("Share of samples that the classifier puts into the right class."),
    "macro F1": HIGHER("F1 of all classes on average, rare ones counting as much as frequent ones."),
    "F1": HIGHER("Harmonic mean of precision and recall for this class."),
    "calibration error": LOWER("How far the probabilities are from the share of answers that are right."),
}

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Classification(Scores):
    """Scores of a classifier, and its confusion matrix: rows are the true classes, columns the predicted."""

    scores: list[Score]
    confusion: Ints
    classes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "scores": [score.as_dict() for score in self.scores],
            "confusion": self.confusion.tolist(),
            "classes": list(self.classes),
        }


def measure_classification(
    predicted: ArrayLike,
    true: ArrayLike,
    *,
    classes: Sequence[str],
    probabilities: ArrayLike | None = None,
    data: str = "",
    seed: int = 0,
    draws: int = DRAWS,
) -> Classification:
    """Score predictions: accuracy, macro F1, F1 of each class and, from probabilities, the calibration error.

    The reference is a trivial classifier's: for accuracy and macro F1 one that always answers the commonest class, for
    a class's F1 one that always answers it, for the calibration error one that is calibrated perfectly.

    Args:
        predicted: integers (n,).
        true: integers (n,).
        classes: names of the k classes; a class that is neither true nor predicted has no F1 and is not in
            the macro mean.
        probabilities: (n, k), rows that sum to 1.
        data: a name or digest of the items, for the signature.
        seed: draws the bootstraps.
        draws: of each bootstrap.

    Raises:
        LuoxiaError: no items, lengths that differ, labels outside 0 … k - 1, or rows that are no probabilities.
    """
    found, wanted = (np.asarray(labels, np.int64).ravel() for labels in (predicted, true))
    _check(found, wanted, len(classes))
    matrix = confusion(found, wanted, len(classes))
    signature: dict[str, str | int | float] = {
        "data": data,
        "items": len(wanted),
        "classes": len(classes),
        "seed": seed,
        "draws": draws,
        "version": VERSION,
    }
    scores = [
        Score(
            name,
            *estimate,
            trivial,
            "plausibility",
            {**signature, "reference": "constant answer"},
            *MEANINGS.get(name, MEANINGS["F1"]),
        )
        for name, estimate, trivial in _matrix_scores(matrix, classes, seed, draws)
    ]
    if probabilities is not None:
        sure = _confidence(probabilities, found, len(classes))
        error, perfect = _calibration(sure, found == wanted, seed, draws)
        calibrated = {**signature, "bins": BINS, "reference": "calibrated"}
        meaning = MEANINGS["calibration error"]
        scores.append(Score("calibration error", *error, perfect, "plausibility", calibrated, *meaning))
    return Classification(scores, matrix, tuple(classes))


def confusion(predicted: ArrayLike, true: ArrayLike, classes: int) -> Ints:
    """Count items by true class (row) and predicted class (column), from labels (n,) → (classes, classes)."""
    pairs = np.asarray(true, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def f1(matrix: ArrayLike) -> Floats:
    """2 tp / (2 tp + fp + fn) of each class, from (…, k, k) → (…, k); NaN where a class never occurs."""
    counts = np.asarray(matrix, np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    below = counts.sum(-1) + counts.sum(-2)
    values: Floats = np.divide(2 * hits, below, out=np.full(below.shape, np.nan), where=below > 0)
    return values


def macro(values: Floats) -> Floats:
    """Mean over the last axis, NaN left out."""
    defined = np.isfinite(values)
    mean: Floats = np.where(defined, values, 0).sum(-1) / np.maximum(defined.sum(-1), 1)
    return mean


def _matrix_scores(
    matrix: Ints, classes: Sequence[str], seed: int, draws: int
) -> list[tuple[str, Estimate, float]]:
    """Name, estimate and reference of what the confusion matrix says.

    Drawing n items again draws the matrix from a multinomial, so the bootstrap needs no items.
    """
    n, rows = int(matrix.sum()), matrix.sum(1)
    rng = np.random.default_rng(seed)
    resampled = rng.multinomial(n, matrix.ravel() / n, size=draws).reshape(draws, *matrix.shape)
    values, drawn = f1(matrix), f1(resampled)
    constant = 2 * rows / (rows + n)  # F1 of a class that is always the answer
    hits = np.repeat([True, False], [int(np.trace(matrix)), n - int(np.trace(matrix))])
    scores = [
        ("accuracy", share(hits), float(rows.max() / n)),
        (
            "macro F1",
            percentiles(float(macro(values)), macro(drawn)),
            float(constant.max() / max(1, (rows > 0).sum())),
        ),
    ]
    for index in np.flatnonzero(np.isfinite(values)).tolist():
        estimate = percentiles(float(values[index]), drawn[:, index])
        scores.append((f"F1 {classes[index]}", estimate, float(constant[index])))
    return scores


def _calibration(sure: Floats, correct: NDArray[np.bool_], seed: int, draws: int) -> tuple[Estimate, float]:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599, eq. 5), and its reference.

    The error is the mean over items of |accuracy − mean confidence| of the item's bin; bin m holds confidence in
    ((m − 1) / bins, m / bins]. The reference is the mean error where p(correct) is the confidence.
    """
    places, gaps = _bin(sure, BINS), correct - sure
    estimate = bootstrap(
        lambda rows: [_error(places[row], gaps[row], BINS) for row in rows], len(sure), draws=draws, seed=seed
    )
    rng = np.random.default_rng(seed)
    calibrated = [_error(places, (rng.random(len(sure)) < sure) - sure, BINS) for _ in range(CALIBRATED)]
    return estimate, float(np.mean(calibrated))


def _bin(sure: Floats, bins: int) -> Ints:
    """Bin, 0 to bins - 1, of each confidence; 0 itself is in the first."""
    places: Ints = np.clip(np.ceil(sure * bins) - 1, 0, bins - 1).astype(np.int64)
    return places


def _error(places: Ints, gaps: Floats, bins: int) -> float:
    """Sum over bins of |sum of (correct - confidence)|, over the items."""
    return float(np.abs(np.bincount(places, weights=gaps, minlength=bins)).sum() / len(gaps))


def _confidence(probabilities: ArrayLike, predicted: Ints, classes: int) -> Floats:
    """Probability (n,) of each predicted class, checked."""
    rows = np.asarray(probabilities, np.float64)
    if rows.shape != (len(predicted), classes):
        raise LuoxiaError(
            f"probabilities are {rows.shape}, not {(len(predicted), classes)}: give a row an item, a column a class"
        )
    if not np.isfinite(rows).all() or (rows < 0).any() or (np.abs(rows.sum(1) - 1) > 1e-2).any():
        raise LuoxiaError("a row of probabilities does not sum to 1: apply softmax to the logits first")
    chosen: Floats = rows[np.arange(len(rows)), predicted]
    return chosen


def _check(predicted: Ints, true: Ints, classes: int) -> None:
    if len(predicted) != len(true):
        raise LuoxiaError(
            f"{len(predicted)} predictions do not pair with {len(true)} labels: give one for each"
        )
    if len(true) == 0:
        raise LuoxiaError("there are no predictions to measure: give at least one item")
    for name, labels in (("prediction", predicted), ("label", true)):
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            raise LuoxiaError(
                f"{name} {wrong[0]} is not a class: with {classes} classes, give 0 to {classes - 1}"
            )
