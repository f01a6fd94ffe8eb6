"""Embeddings judged by pairs that belong together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.intervals import share
from luoxia.metrics.resampling import DRAWS, bootstrap
from luoxia.metrics.score import HIGHER, Score

VERSION = 1  # raise it whenever a metric's value would change
TIED = 1e-6  # cosines closer than this are equal to within float32 embeddings
CHUNK_ELEMENTS = 1 << 22  # similarities held at once: 32 MiB
RETRIEVAL = HIGHER("Share of examples whose counterpart is the nearest of all.")
MRR = HIGHER("Mean of 1 / rank of the counterpart among all, the nearest first.")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
