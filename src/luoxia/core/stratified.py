"""A split that holds out the same share of every class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luoxia.core.order import generator_for, holdout_split

Indices = NDArray[np.int64]


def stratified_split(labels: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Split ``0 … n-1`` into (train, held-out) indices: int64, sorted, a pure function of the arguments.

    As many are held out as by ``holdout_split``, from every class of ``labels`` (n,) in proportion, but never the
    only sample of one: what is not learned cannot be examined.
    """
    count = len(labels)
    size = len(holdout_split(count, fraction, seed)[1])
    keys = np.asarray(generator_for("stratified", seed, count).random_raw(count))
    order = np.lexsort((keys, labels))  # class by class, within each by chance
    first = np.diff(labels[order], prepend=-1) != 0
    candidates = order[~first]
    size = min(size, len(candidates))
    # Evenly spaced positions meet each class as often as its share says, to within one.
    chosen = candidates[((np.arange(size) + 0.5) * len(candidates) / max(size, 1)).astype(np.int64)]
    heldout = np.sort(chosen).astype(np.int64)
    return np.setdiff1d(np.arange(count), heldout), heldout
