"""How well generated texts can be distinguished from real ones by their characters: a classifier, and a divergence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luoxia.metrics.intervals import Estimate
from luoxia.metrics.ngrams import Corpus
from luoxia.metrics.resampling import jackknife

ORDERS = (1, 2, 3, 4, 5)  # of the character n-grams that are features
KEPT = 5000  # n-grams, those that most texts have
SUMMARY = 0.3  # scale of the features that are no n-gram
FOLDS = 5
STRENGTH = 10.0  # inverse of the L2 penalty: the loss is |w|² / 2 + STRENGTH · Σ log-loss
ITERATIONS = 200

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def told_apart(fake: Sequence[str], real: Sequence[str], *, seed: int = 0) -> NDArray[np.bool_]:
    """Whether each text, of those generated and then of the real, is classified rightly → (m + n,).

    The classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545): a logistic regression learns
    on four fifths of the texts which are generated, and is asked about the rest, five times over. With as
    many of one as of the other, a share of 0.5 means that they cannot be distinguished, 1 that they always can.
    """
    features = character_features([*fake, *real])
    if len(features) < features.shape[1]:  # a rotation into as many dimensions as texts changes no answer
        features = np.asarray(np.linalg.qr(features.T, mode="r")).T
    labels = np.repeat([1.0, 0.0], [len(fake), len(real)])
    folds = np.empty(len(labels), np.int64)
    rng = np.random.default_rng(seed)
    for label in (1.0, 0.0):  # as many of each in every fold
        rows = rng.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(len(rows)) % FOLDS
    right = np.empty(len(labels), bool)
    for fold in range(FOLDS):
        test = folds == fold
        weights, bias = logistic_regression(features[~test], labels[~test])
        right[test] = (features[test] @ weights + bias > 0) == (labels[test] > 0)
    return right


def character_features(texts: Sequence[str]) -> Floats:
    """What a text's characters are like: its commonest n-grams, its uncommon ones, its length → (n, d).

    The square roots of the shares of the ``KEPT`` n-grams that most texts have, so that Euclidean distance is
    Hellinger's; for each n the share of all other n-grams; ln(1 + characters). The latter are standardized.
    """
    corpus = Corpus.of(texts)
    orders, names, owners, shares = _shares(corpus)
    commonest = np.argsort(-np.bincount(names), kind="stable")[:KEPT]
    column = np.full(int(names.max(initial=-1)) + 1, -1)
    column[commonest] = np.arange(len(commonest))
    kept = column[names] >= 0
    common = np.zeros((corpus.count, len(commonest)))
    common[owners[kept], column[names[kept]]] = np.sqrt(shares[kept])
    summary = np.zeros((corpus.count, len(ORDERS) + 1))
    np.add.at(summary, (owners[~kept], orders[~kept]), shares[~kept])
    summary[:, -1] = np.log1p(corpus.lengths)
    summary = (summary - summary.mean(0)) / np.maximum(summary.std(0), 1e-9)
    features: Floats = np.concatenate([common, SUMMARY * summary], axis=1)
    return features


def _shares(corpus: Corpus) -> tuple[Ints, Ints, Ints, Floats]:
    """Index of the order, name, text and share of every distinct n-gram of every text (m,).

    Shares are of all the text's n-grams of that order; no two orders share a name, and none is left out.
    """
    parts, size = [], 0
    for order, n in enumerate(ORDERS):
        found, owners = corpus.ngrams(n)
        total = np.bincount(owners, minlength=corpus.count)
        distinct, found = np.unique(found, return_inverse=True)
        pairs, counts = np.unique(found * corpus.count + owners, return_counts=True)
        names, owners = pairs // corpus.count, pairs % corpus.count
        parts.append((np.full(len(names), order), names + size, owners, counts / total[owners]))
        size += len(distinct)
    orders, names, owners, shares = (np.concatenate(column) for column in zip(*parts, strict=True))
    return orders, names, owners, shares


def logistic_regression(features: ArrayLike, labels: ArrayLike) -> tuple[Floats, float]:
    """Weights (d,) and bias of p(1 | x) = σ(w·x + b) for features (n, d) and labels 0 or 1 (n,).

    They minimize |w|² / 2 + STRENGTH · Σ log-loss, by L-BFGS.
    """
    from scipy.optimize import minimize

    x, sign = np.asarray(features, np.float64), 2 * np.asarray(labels, np.float64) - 1

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[:-1], parameters[-1]
        margin = sign * (x @ weights + bias)
        value = STRENGTH * np.logaddexp(0, -margin).sum() + weights @ weights / 2
        slope = -STRENGTH * sign * np.exp(-np.logaddexp(0, margin))
        return float(value), np.append(x.T @ slope + weights, slope.sum())

    start = np.zeros(x.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "gtol": 1e-4})
    return found.x[:-1], float(found.x[-1])


def trigram_divergence(fake: Sequence[str], real: Sequence[str]) -> Estimate:
    """Jensen-Shannon divergence of the character trigrams of generated texts from those of real ones.

    In bits (Lin 1991, eq. 4.1), 0 to 1. From few trigrams it comes out too large, so it compares between as
    many texts of one length only. The interval is over the generated texts.
    """
    names, owners = Corpus.of([*fake, *real]).ngrams(3)
    size = int(names.max(initial=0)) + 1
    of_real = np.bincount(names[owners >= len(fake)], minlength=size)

    def of_texts(texts: Ints) -> float:
        kept = np.isin(np.arange(len(fake) + len(real)), texts)[owners]
        return jensen_shannon(np.bincount(names[kept], minlength=size), of_real)

    return jackknife(of_texts, len(fake))


def jensen_shannon(fake: ArrayLike, real: ArrayLike) -> float:
    """Jensen-Shannon divergence, in bits, of two histograms (k,); 0 where either is empty."""
    sides = [np.asarray(side, np.float64) for side in (fake, real)]
    if not all(side.any() for side in sides):
        return 0.0
    p, q = (side / side.sum() for side in sides)
    return max(0.0, _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2)


def _entropy(p: Floats) -> float:
    """Shannon's, in bits."""
    seen = p[p > 0]
    return float(-(seen * np.log2(seen)).sum())
