"""Batches of sequences of like lengths, filled up to a budget of tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.core.order import Order, generator_for
from luoxia.media.text.ragged import Indices


class Buckets:
    """The infinite sequence of batches: each sample once an epoch, each batch a function of (seed, position).

    The samples are sorted by length, equals in an order that the epoch decides, cut into batches of at most
    ``tokens`` tokens with padding, and the batches are shuffled. Where the cuts fall depends on the lengths
    only, so that each epoch has ``len(buckets)`` batches.
    """

    def __init__(self, lengths: NDArray[Any], samples: Indices, tokens: int, seed: int) -> None:
        """Prepare the batches of ``samples``, whose ``lengths`` are (n,) or (n, sides), the longest deciding.

        Raises:
            UsageError: there is no sample, or one is longer than ``tokens``.
        """
        sides = np.asarray(lengths, np.int64).reshape(len(lengths), -1)[samples]
        if not len(samples):
            raise UsageError("there is nothing to make batches of: give more data, or allow longer samples")
        self._longest = sides.max(axis=1)
        if self._longest.max() > tokens:
            raise UsageError(
                f"the longest sample has {self._longest.max()} tokens, and a batch holds tokens={tokens}: raise it"
            )
        self._shortest = sides.min(axis=1)
        self._samples, self._seed = samples, seed
        self._bounds = _cuts(np.sort(self._longest), tokens)
        self._order = Order(len(self), seed)
        self._recent: tuple[int, Indices] | None = None

    def __len__(self) -> int:
        """The number of batches an epoch."""
        return len(self._bounds) - 1

    def __call__(self, position: int) -> Indices:
        """The samples of the batch at ``position`` ≥ 0 of the sequence."""
        epoch, _ = divmod(position, len(self))
        batch = int(self._order.indices(position, 1)[0])
        return self._sorted(epoch)[self._bounds[batch] : self._bounds[batch + 1]]

    def _sorted(self, epoch: int) -> Indices:
        if self._recent is None or self._recent[0] != epoch:
            chance = generator_for("buckets", self._seed, epoch, len(self._samples)).random_raw(
                len(self._samples)
            )
            order = np.lexsort((chance, self._shortest, self._longest))
            self._recent = epoch, self._samples[order]
        return self._recent[1]


class BucketedBatches:
    """What batches by token budget share: which samples are used, and which batch is whose."""

    def __init__(
        self,
        lengths: NDArray[np.int64],
        samples: Indices | None,
        tokens: int,
        seed: int,
        world_size: int,
        rank: int,
        longest: int | None,
    ) -> None:
        """Choose among samples of ``lengths``, (n,) or (n, sides): those not above ``longest`` (None: ``tokens``).

        Raises:
            UsageError: no sample is left, or ``tokens`` is less than the longest.
        """
        samples = np.arange(len(lengths)) if samples is None else samples
        limit = tokens if longest is None else longest
        fits = lengths.reshape(len(lengths), -1).max(axis=1)[samples] <= limit
        if not fits.any():
            raise UsageError(
                f"all {len(samples):,} samples are longer than {limit} tokens: raise max_length="
            )
        self.dropped = int((~fits).sum())  # longer than ``longest``
        self._buckets = Buckets(lengths, samples[fits], tokens, seed)
        self._world_size, self._rank = world_size, rank

    @property
    def per_epoch(self) -> int:
        """Batches of all ranks together that hold each sample once."""
        return len(self._buckets)

    def samples(self, index: int) -> Indices:
        """The samples in batch number ``index`` of this rank."""
        return self._buckets(index * self._world_size + self._rank)


def _cuts(ascending: Indices, tokens: int) -> list[int]:
    """Bounds of batches in which count × longest ≤ tokens."""
    bounds = [0]
    for index, length in enumerate(ascending.tolist()):
        if (index - bounds[-1] + 1) * length > tokens:
            bounds.append(index)
    return [*bounds, len(ascending)]
