"""Tokenized pairs, memory-mapped, for translation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.media.text.alignment import Pair, PairSource
from luoxia.media.text.buckets import BucketedBatches
from luoxia.media.text.ragged import Facts, Indices, Packed, Ragged, RaggedWriter, cached, in_chunks
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.media.text.tokens import IGNORED

MARKS = 1  # tokens that batches add to each side: <eos> to the source; <bos> or <eos> to the target


class PairBatch(NamedTuple):
    """Sources (n, s) and targets (n, t), padded on the right."""

    source: Indices  # ends with <eos>
    source_mask: NDArray[np.bool_]  # True where there is a token
    inputs: Indices  # <bos> and the target
    targets: Indices  # the target and <eos>, then -100


@dataclass(frozen=True)
class PairDataset(Packed):
    """Pairs of token sequences without any marks; ``n`` is ``len(dataset)``."""

    sources: Ragged
    targets: Ragged
    tokenizer: Tokenizer  # of both sides

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def open(cls, source: PairSource, tokenizer: Tokenizer) -> PairDataset:
        """Tokenize pairs, once for the cache.

        Raises:
            UsageError: the files are misaligned, or the tokenizer lacks <eos>, <pad> or <bos>.
            LuoxiaError: no pair can be used, or the cache cannot be written.
        """
        if None in (tokenizer.pad, tokenizer.bos, tokenizer.eos):
            raise UsageError("a tokenizer for pairs needs <pad>, <bos> and <eos>, and this one lacks some")
        known, _, (sources, targets) = cached("pairs", source, [tokenizer], _build, ["sources", "targets"])
        return cls(*known, sources, targets, tokenizer)


class PairBatches(BucketedBatches):
    """Batches of pairs for training, each a pure function of (seed, index, world size, rank)."""

    def __init__(
        self,
        dataset: PairDataset,
        tokens: int = 4096,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
        longest: int | None = 256,
        samples: Indices | None = None,
    ) -> None:
        """Prepare batches of at most ``tokens`` tokens a side, padding included.

        Pairs with a side longer than ``longest`` tokens, its mark included, are left out and counted in
        ``dropped``. ``samples`` chooses among the pairs, for a split; None: all.

        Raises:
            UsageError: no pair is left, or ``tokens`` is less than the longest.
        """
        lengths = np.stack([dataset.sources.lengths, dataset.targets.lengths], axis=1) + MARKS
        super().__init__(lengths, samples, tokens, seed, world_size, rank, longest)
        self.dataset = dataset

    def __call__(self, index: int) -> PairBatch:
        """Return batch number ``index`` of this rank, from 0."""
        data, chosen = self.dataset, self.samples(index)
        pad, bos, eos = (_id(mark) for mark in (data.tokenizer.pad, data.tokenizer.bos, data.tokenizer.eos))
        rows = np.arange(len(chosen))
        lengths, target_lengths = data.sources.lengths[chosen], data.targets.lengths[chosen]
        source = np.full((len(rows), lengths.max() + 1), pad)
        data.sources.put(source, chosen)
        source[rows, lengths] = eos
        inputs = np.full((len(rows), target_lengths.max() + 1), pad)
        inputs[:, 0] = bos
        data.targets.put(inputs, chosen, at=1)
        targets = np.full_like(inputs, IGNORED)
        data.targets.put(targets, chosen)
        targets[rows, target_lengths] = eos
        return PairBatch(source, np.arange(source.shape[1]) <= lengths[:, None], inputs, targets)


def _id(token: int | None) -> int:
    if token is None:
        raise AssertionError("the data set was opened with a tokenizer that lacks a mark")
    return token


def _build(folder: Path, source: PairSource, tokenizer: Tokenizer) -> Facts:
    first = RaggedWriter(folder, "sources", tokenizer.vocabulary)
    second = RaggedWriter(folder, "targets", tokenizer.vocabulary)
    for pairs in in_chunks(source.pairs(), _pair_size):
        for ids in tokenizer.encode_batch([pair.source for pair in pairs]):
            first.append(ids)
        for ids in tokenizer.encode_batch([pair.target for pair in pairs]):
            second.append(ids)
    first.close()
    second.close()
    return {}


def _pair_size(pair: Pair) -> int:
    return len(pair.source) + len(pair.target)
