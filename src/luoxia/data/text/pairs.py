"""Tokenised pairs, memory-mapped: for translation, and for texts under a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luoxia.data.text.alignment import Pair, PairSource
from luoxia.data.text.buckets import BucketedBatches
from luoxia.data.text.ragged import (
    Facts,
    Indices,
    Ragged,
    RaggedWriter,
    cached,
    in_chunks,
    skips_from_json,
    skips_to_json,
)
from luoxia.data.text.reading import Skips
from luoxia.data.text.sources import Document, TextSource
from luoxia.data.text.tokeniser import Tokeniser
from luoxia.data.text.tokens import IGNORED
from luoxia.errors import UsageError

MARKS = 1  # tokens that batches add to each side: <eos> to the source; <bos> or <eos> to the target


class PairBatch(NamedTuple):
    """Sources (n, s) and targets (n, t), padded on the right."""

    source: Indices  # ends with <eos>
    source_mask: NDArray[np.bool_]  # True where there is a token
    target_in: Indices  # <bos> and the target
    target_out: Indices  # the target and <eos>, then -100


class PrefixBatch(NamedTuple):
    """Prefixes and texts end to end, (n, t), padded on the right."""

    inputs: Indices
    targets: Indices  # the token after each input; -100 within the prefix and beyond the end


@dataclass(frozen=True)
class PairDataset:
    """Pairs of token sequences without any marks; ``n`` is ``len(dataset)``."""

    sources: Ragged
    targets: Ragged
    source_tokeniser: Tokeniser
    target_tokeniser: Tokeniser
    fingerprint: str  # of the source of data
    title: str
    skips: Skips

    def __len__(self) -> int:
        return len(self.sources)

    @classmethod
    def open(
        cls, source: PairSource, tokeniser: Tokeniser, target_tokeniser: Tokeniser | None = None
    ) -> PairDataset:
        """Tokenise pairs, once for the cache; both sides by one tokeniser unless the target has its own.

        Raises:
            UsageError: the files are misaligned, or a tokeniser lacks <eos>, <pad> or, for the target, <bos>.
            LuoxiaError: no pair can be used, or the cache cannot be written.
        """
        other = target_tokeniser or tokeniser
        if None in (tokeniser.pad, tokeniser.eos, other.pad, other.bos, other.eos):
            raise UsageError("a tokeniser for pairs needs <pad>, <bos> and <eos>, and this one lacks some")
        key = ["pairs", source.fingerprint, tokeniser.digest, other.digest]
        build = partial(_build_pairs, source=source, tokenisers=(tokeniser, other))
        facts, (sources, targets) = cached(key, build, ["sources", "targets"])
        skips = skips_from_json(facts["skips"])
        return cls(sources, targets, tokeniser, other, source.fingerprint, source.title, skips)


@dataclass(frozen=True)
class ConditionedDataset:
    """Prefixes that state a condition, and the texts after them; ``n`` is ``len(dataset)``."""

    prefixes: Ragged
    texts: Ragged
    tokeniser: Tokeniser
    fingerprint: str
    title: str
    skips: Skips

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def open(cls, source: TextSource, tokeniser: Tokeniser) -> ConditionedDataset:
        """Tokenise documents with their fields, once for the cache.

        Raises:
            UsageError: the tokeniser has no end-of-text token.
            LuoxiaError: no document can be used, or the cache cannot be written.
        """
        if tokeniser.eos is None:
            raise UsageError("this tokeniser has no end-of-text token, so it cannot end a text")
        key = ["conditioned", source.fingerprint, tokeniser.digest]
        build = partial(_build_conditioned, source=source, tokeniser=tokeniser)
        facts, (prefixes, texts) = cached(key, build, ["prefixes", "texts"])
        skips = skips_from_json(facts["skips"])
        return cls(prefixes, texts, tokeniser, source.fingerprint, source.title, skips)


def condition_prompt(
    tokeniser: Tokeniser, fields: Mapping[str, str] | Iterable[tuple[str, str]]
) -> list[int]:
    """The ids that state a condition: a line ``key=value`` a field, then <sep>.

    In a value, line ends become spaces. A tokeniser without <sep> gets an empty line instead.
    """
    items = fields.items() if isinstance(fields, Mapping) else fields
    text = "".join(f"{key}={' '.join(value.splitlines())}\n" for key, value in items)
    if tokeniser.sep is None:
        return tokeniser.encode(text + "\n")
    return [*tokeniser.encode(text), tokeniser.sep]


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
        first, second = data.source_tokeniser, data.target_tokeniser
        rows = np.arange(len(chosen))
        lengths, target_lengths = data.sources.lengths[chosen], data.targets.lengths[chosen]
        source = np.full((len(rows), lengths.max() + 1), _id(first.pad))
        data.sources.put(source, chosen)
        source[rows, lengths] = _id(first.eos)
        target_in = np.full((len(rows), target_lengths.max() + 1), _id(second.pad))
        target_in[:, 0] = _id(second.bos)
        data.targets.put(target_in, chosen, at=1)
        target_out = np.full_like(target_in, IGNORED)
        data.targets.put(target_out, chosen)
        target_out[rows, target_lengths] = _id(second.eos)
        return PairBatch(source, np.arange(source.shape[1]) <= lengths[:, None], target_in, target_out)


class ConditionedBatches(BucketedBatches):
    """Batches of texts after their conditions, each a pure function of (seed, index, world size, rank)."""

    def __init__(
        self,
        dataset: ConditionedDataset,
        tokens: int = 4096,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
        longest: int | None = None,
        samples: Indices | None = None,
    ) -> None:
        """Prepare batches; see ``PairBatches``. The length counts prefix, text and <eos>; None: ``tokens``."""
        lengths = dataset.prefixes.lengths + dataset.texts.lengths + MARKS
        super().__init__(lengths, samples, tokens, seed, world_size, rank, longest)
        self.dataset = dataset

    def __call__(self, index: int) -> PrefixBatch:
        """Return batch number ``index`` of this rank, from 0."""
        data, chosen = self.dataset, self.samples(index)
        eos, rows = _id(data.tokeniser.eos), np.arange(len(chosen))
        begins = data.prefixes.lengths[chosen]  # where the text begins, and where it ends
        ends = begins + data.texts.lengths[chosen]
        inputs = np.full((len(rows), ends.max()), eos if data.tokeniser.pad is None else data.tokeniser.pad)
        data.prefixes.put(inputs, chosen)
        data.texts.put(inputs, chosen, at=begins)
        targets = np.full_like(inputs, IGNORED)
        data.texts.put(targets, chosen, at=begins - 1)
        targets[rows, ends - 1] = eos
        return PrefixBatch(inputs, targets)


def _id(token: int | None) -> int:
    if token is None:
        raise AssertionError("the data set was opened with a tokeniser that lacks a mark")
    return token


def _build_pairs(folder: Path, source: PairSource, tokenisers: tuple[Tokeniser, Tokeniser]) -> Facts:
    first = RaggedWriter(folder, "sources", tokenisers[0].vocabulary)
    second = RaggedWriter(folder, "targets", tokenisers[1].vocabulary)
    for pairs in in_chunks(source.pairs(), _pair_size):
        for ids in tokenisers[0].encode_batch([pair.source for pair in pairs]):
            first.append(ids)
        for ids in tokenisers[1].encode_batch([pair.target for pair in pairs]):
            second.append(ids)
    first.close()
    second.close()
    return {"skips": skips_to_json(source.skips)}


def _pair_size(pair: Pair) -> int:
    return len(pair.source) + len(pair.target)


def _build_conditioned(folder: Path, source: TextSource, tokeniser: Tokeniser) -> Facts:
    prefixes = RaggedWriter(folder, "prefixes", tokeniser.vocabulary)
    texts = RaggedWriter(folder, "texts", tokeniser.vocabulary)
    for documents in in_chunks(source.documents(), _document_size):
        for document in documents:
            prefixes.append(np.array(condition_prompt(tokeniser, document.fields)))
        for ids in tokeniser.encode_batch([document.text for document in documents]):
            texts.append(ids)
    prefixes.close()
    texts.close()
    return {"skips": skips_to_json(source.skips)}


def _document_size(document: Document) -> int:
    return len(document.text)
