"""Batches of a fixed number of pairs: for what compares the pairs of a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.core.order import Order, generator_for
from luoxia.media.text.padded import padded
from luoxia.media.text.pairs import PairDataset
from luoxia.media.text.ragged import Indices

GROUP = 16
"""Batches whose pairs are sorted by length together, so that little is padded."""


class TwoSides(NamedTuple):
    """Pairs of texts, padded on the right; the masks are True where there is a token."""

    first: Indices  # (n, s)
    first_mask: NDArray[np.bool_]
    second: Indices  # (n, t)
    second_mask: NDArray[np.bool_]


class CountedPairs:
    """Batches of so many pairs, each a pure function of (seed, index, world size, rank).

    Every pair comes once before any comes again. Pairs of like lengths meet, so that no wrong answer is known by its
    length.
    """

    def __init__(
        self,
        dataset: PairDataset,
        batch: int,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
        longest: int = 128,
        samples: Indices | None = None,
    ) -> None:
        """Prepare batches of ``batch`` of the ``samples`` (None: all); texts over ``longest`` tokens lose their end.

        Raises:
            UsageError: there are fewer pairs than a batch needs.
        """
        self._samples = np.arange(len(dataset)) if samples is None else samples
        if len(self._samples) < batch:
            raise UsageError(
                f"batch={batch} is more than the {len(self._samples):,} pairs there are to train on: lower it"
            )
        self._order, self._seed = Order(len(self._samples), seed), seed
        self._recent: tuple[int, NDArray[np.int64]] | None = None
        self._dataset, self._batch, self._longest = dataset, batch, longest
        self._world_size, self._rank = world_size, rank

    def __call__(self, index: int) -> TwoSides:
        """Return batch number ``index`` of this rank, from 0."""
        group, place = divmod(index * self._world_size + self._rank, GROUP)
        if self._recent is None or self._recent[0] != group:
            self._recent = group, self._sorted(group)
        return self.gather(self._recent[1][place])

    def _sorted(self, group: int) -> NDArray[np.int64]:
        """The samples of a group's batches, (GROUP, batch): like lengths together, the batches in random order."""
        size = GROUP * self._batch
        chosen = self._samples[self._order.indices(group * size, size)]
        data = self._dataset
        longest = np.maximum(data.sources.lengths[chosen], data.targets.lengths[chosen])
        batches = chosen[np.argsort(longest, kind="stable")].reshape(GROUP, self._batch)
        return batches[np.argsort(generator_for("counted", self._seed, group).random_raw(GROUP))]

    def gather(self, chosen: Indices) -> TwoSides:
        """These pairs."""
        data = self._dataset
        first = padded(data.sources, chosen, data.tokenizer, self._longest)
        return TwoSides(*first, *padded(data.targets, chosen, data.tokenizer, self._longest))
