"""How well a language model predicts text: nats per token, perplexity, bits per byte.

All three are one sum, the negative log likelihood of the text, over three counts. Nats per token and
perplexity depend on the tokenizer and compare only under the same one; bits per byte compares any two models
of the same text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.intervals import Estimate
from luoxia.metrics.resampling import DRAWS, Indices, bootstrap
from luoxia.metrics.score import LOWER, Score

VERSION = 1  # raise it whenever a metric's value would change
ROUND_OFF = 1e-2  # a negative log likelihood below minus this is not round-off of half precision
LARGEST = 709.0  # exp of more overflows
NATS = LOWER("Surprise at a token of held-out text, in nats. It compares models of one tokenizer only.")
PERPLEXITY = LOWER(
    "Among how many equally likely tokens the model is torn, on average: e to the nats per token."
)
BITS = LOWER("Bits that a byte of held-out text costs. It compares models of any tokenizer.")

Floats = NDArray[np.float64]


def measure_language(
    nll: Sequence[ArrayLike],
    byte_counts: ArrayLike,
    *,
    tokenizer: str,
    text: str = "",
    seed: int = 0,
    draws: int = DRAWS,
) -> list[Score]:
    """Score a model's prediction of documents, each with an interval over the documents.

    Args:
        nll: for each of n documents, the negative log likelihoods (t,) in nats, -ln p(token | those before
            it), of every token that was predicted, the end of the text among them where the model predicts it.
        byte_counts: (n,) UTF-8 bytes that those tokens spell. A token that is given and not predicted, such
            as the first of a window, counts on neither side; a special token has no bytes.
        tokenizer: its name, for the signature; with another one, perplexities do not compare.
        text: a name or digest of the text, for the signature.
        seed: draws the bootstrap.
        draws: of the bootstrap over documents. It takes documents as independent: pieces of one long text
            give a somewhat narrow interval, and a single document none.

    Raises:
        LuoxiaError: nothing was predicted, the counts differ, a likelihood is not finite, or is one's logarithm
            without the minus.
    """
    sums, tokens, sizes = _totals(nll, byte_counts)
    shared: dict[str, str | int | float] = {
        "text": text,
        "documents": len(sums),
        "bytes": int(sizes.sum()),
        "seed": seed,
        "draws": draws,
        "version": VERSION,
    }
    by_token = {**shared, "tokenizer": tokenizer, "tokens": int(tokens.sum())}

    def ratio(counts: Floats) -> Estimate:
        return bootstrap(lambda rows: _ratio(sums, counts, rows), len(sums), draws=draws, seed=seed)

    nats, bits = ratio(tokens), _each(ratio(sizes), lambda x: x / math.log(2))
    return [
        Score("nats per token", *nats, None, "authenticity", by_token, *NATS),
        Score("perplexity", *_each(nats, _exp), None, "authenticity", by_token, *PERPLEXITY),
        Score("bits per byte", *bits, None, "authenticity", shared, *BITS),
    ]


def _totals(nll: Sequence[ArrayLike], byte_counts: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Nats, tokens and bytes of each document, (n,) each, checked."""
    rows = [np.asarray(row, np.float64).ravel() for row in nll]
    sizes = np.asarray(byte_counts, np.float64).ravel()
    if len(rows) != len(sizes):
        raise LuoxiaError(f"{len(rows)} documents have {len(sizes)} byte counts: give one for each document")
    for index, row in enumerate(rows):
        if not np.isfinite(row).all():
            raise LuoxiaError(
                f"document {index} has a likelihood that is not finite: look for NaN in the model's outputs"
            )
        if (row < -ROUND_OFF).any():
            raise LuoxiaError(f"document {index} has a negative value: give -ln p, not ln p")
    tokens = np.array([len(row) for row in rows], np.float64)
    if tokens.sum() == 0 or sizes.sum() <= 0 or (sizes < 0).any():
        raise LuoxiaError("no token or no byte was predicted, so there is no perplexity: give longer text")
    return np.array([row.sum() for row in rows], np.float64), tokens, sizes


def _ratio(sums: Floats, counts: Floats, rows: Indices) -> Floats:
    """Ratio of the sums of the drawn documents; NaN where a draw holds nothing but empty ones."""
    below = counts[rows].sum(1)
    ratio: Floats = np.divide(sums[rows].sum(1), below, out=np.full(len(rows), np.nan), where=below > 0)
    return ratio


def _each(estimate: Estimate, change: Callable[[float], float]) -> Estimate:
    """Map value and bounds by a function that only rises."""
    return Estimate(
        change(estimate.value), *(None if x is None else change(x) for x in (estimate.low, estimate.high))
    )


def _exp(value: float) -> float:
    return math.exp(min(value, LARGEST))
