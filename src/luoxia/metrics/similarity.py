"""Embeddings judged by people's similarities (Spearman, Pearson) and by pairs that belong together."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.intervals import Z95, Estimate, share
from luoxia.metrics.resampling import DRAWS, Indices, bootstrap
from luoxia.metrics.score import HIGHER, Score

VERSION = 1  # raise it whenever a metric's value would change
TIED = 1e-6  # cosines closer than this are equal to within float32 embeddings
CHUNK_ELEMENTS = 1 << 22  # similarities held at once: 32 MiB
SPEARMAN = HIGHER("Agreement of the order of similarities with people's, -1 to 1.")
PEARSON = HIGHER("Agreement of similarities with people's along a line, -1 to 1.")
RETRIEVAL = HIGHER("Share of examples whose counterpart is the nearest of all.")
MRR = HIGHER("Mean of 1 / rank of the counterpart among all, the nearest first.")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def measure_similarity(
    predicted: ArrayLike, gold: ArrayLike, *, data: str = "", seed: int = 0, draws: int = DRAWS
) -> list[Score]:
    """Score predicted similarities (n,) against people's (n,): Spearman's and Pearson's correlation.

    The reference is chance, 0. ``data`` names the pairs in the signature; ``seed`` and ``draws`` are the
    bootstrap's. Fewer than three pairs, lengths that differ, values that are not finite, or all equal on one
    side raise LuoxiaError.
    """
    x, y = _scores(predicted, "predicted"), _scores(gold, "gold")
    if len(x) != len(y):
        raise LuoxiaError(f"{len(x)} predictions do not pair with {len(y)} gold scores: give one for each")
    signature: dict[str, str | int | float] = {"data": data, "pairs": len(x), "reference": "chance"}
    drawn = {**signature, "seed": seed, "draws": draws, "version": VERSION}

    def of_draws(rows: Indices) -> Floats:
        return correlation(x[rows], y[rows])

    linear = bootstrap(of_draws, len(x), draws=draws, seed=seed)
    return [
        Score("Spearman", *spearman(x, y), 0.0, "plausibility", {**signature, "version": VERSION}, *SPEARMAN),
        Score("Pearson", *linear, 0.0, "plausibility", drawn, *PEARSON),
    ]


def correlation(x: ArrayLike, y: ArrayLike) -> Floats:
    """Pearson's correlation over the last axis, (…, n) and (…, n) → (…); NaN where a side is constant."""
    a, b = (np.asarray(side, np.float64) for side in (x, y))
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    below = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    above = (a * b).sum(-1)
    value: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return np.clip(value, -1, 1)


def spearman(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Correlation of the ranks of x (n,) and y (n,), ties at their mean rank, with its interval.

    The interval is Fisher's, with the variance (1 + ρ²/2) / (n - 3) of Bonett and Wright 2000; none for
    fewer than four pairs.
    """
    from scipy.stats import rankdata

    value = float(correlation(rankdata(x), rankdata(y)))
    n = np.size(x)
    if n < 4:
        return Estimate(value, None, None)
    half = Z95 * math.sqrt((1 + value * value / 2) / (n - 3))
    center = math.atanh(min(max(value, -1 + 1e-15), 1 - 1e-15))
    return Estimate(value, min(value, math.tanh(center - half)), max(value, math.tanh(center + half)))


def measure_retrieval(
    queries: ArrayLike, answers: ArrayLike, *, data: str = "", seed: int = 0, draws: int = DRAWS
) -> list[Score]:
    """Score paired embeddings, (n, d) and (n, d): is answer i the nearest to query i, by cosine, among all n?

    retrieval@1 is the share for which it is, MRR the mean of 1 / rank. The reference is chance: 1/n, and H_n/n
    for H_n = 1 + 1/2 + … + 1/n. Fewer than two pairs, shapes that differ, or an embedding that is zero or
    not finite raise LuoxiaError.
    """
    ranks = retrieval_ranks(queries, answers, seed=seed)
    n, inverse = len(ranks), 1 / ranks
    signature: dict[str, str | int | float] = {
        "data": data,
        "pairs": n,
        "similarity": "cosine",
        "reference": "chance",
        "seed": seed,
        "version": VERSION,
    }
    mean = bootstrap(lambda rows: inverse[rows].mean(1), n, draws=draws, seed=seed)
    chance = float((1 / np.arange(1, n + 1)).sum() / n)
    return [
        Score("retrieval@1", *share(ranks == 1), 1 / n, "plausibility", signature, *RETRIEVAL),
        Score("MRR", *mean, chance, "plausibility", {**signature, "draws": draws}, *MRR),
    ]


def retrieval_ranks(queries: ArrayLike, answers: ArrayLike, *, seed: int = 0) -> Ints:
    """Rank, 1 the nearest, of answer i (n, d) for query i (n, d) among all answers, by cosine → (n,).

    Among equally near answers the rank is drawn, so that equal embeddings earn what chance does.
    """
    x, y = _unit(queries, "queries"), _unit(answers, "answers")
    if x.shape != y.shape or len(x) < 2:
        raise LuoxiaError(
            f"queries are {x.shape} and answers {y.shape}: give two pairs or more, of as many dimensions"
        )
    ranks = np.empty(len(x), np.int64)
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_ELEMENTS // len(x))
    for start in range(0, len(x), step):
        rows = np.arange(start, min(start + step, len(x)))
        cosines = x[rows] @ y.T
        own = cosines[np.arange(len(rows)), rows][:, None]
        nearer = (cosines > own + TIED).sum(1)
        tied = (np.abs(cosines - own) <= TIED).sum(1)  # itself among them
        ranks[rows] = 1 + nearer + rng.integers(tied)
    return ranks


def _unit(embeddings: ArrayLike, name: str) -> Floats:
    rows = np.asarray(embeddings, np.float64)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise LuoxiaError(f"the {name}' embeddings are not finite rows (n, d): look for NaN in the model")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not norms.all():
        raise LuoxiaError(f"an embedding of the {name} is zero, so it has no cosine: leave empty texts out")
    unit: Floats = rows / norms
    return unit


def _scores(values: ArrayLike, name: str) -> Floats:
    row = np.asarray(values, np.float64).ravel()
    if len(row) < 3 or not np.isfinite(row).all():
        raise LuoxiaError(f"a correlation needs three finite {name} scores or more: give more pairs")
    if (row == row[0]).all():
        raise LuoxiaError(f"all {name} scores are {row[0]:g}, so they have no correlation: they must differ")
    return row
