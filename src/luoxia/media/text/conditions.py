"""Texts under a condition, tokenized and memory-mapped: the fields that state it, a line each, a mark, the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.core.order import generator_for, spread
from luoxia.media.text.buckets import BucketedBatches
from luoxia.media.text.ragged import Facts, Indices, Packed, Ragged, RaggedWriter, cached, in_chunks
from luoxia.media.text.sources import TextSource, condition_lines
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.media.text.tokens import IGNORED, Windows


def condition_prompt(
    tokenizer: Tokenizer, fields: Mapping[str, str] | Iterable[tuple[str, str]]
) -> list[int]:
    """The ids that state a condition: a line ``key=value`` a field, then <sep>.

    In a value, line ends become spaces; an empty one states nothing. A tokenizer without <sep> gets an empty line
    instead.
    """
    lines = condition_lines(fields.items() if isinstance(fields, Mapping) else fields)
    return [token for line in lines for token in tokenizer.encode(line)] + _mark(tokenizer)


def _mark(tokenizer: Tokenizer) -> list[int]:
    """What stands between the condition and the text."""
    return tokenizer.encode("\n") if tokenizer.sep is None else [tokenizer.sep]


@dataclass(frozen=True)
class ConditionedDataset(Packed):
    """Conditions, and the texts after them; ``n`` is ``len(dataset)``."""

    fields: tuple[Ragged, ...]  # for each field the lines that state it, empty where a document has no value
    texts: Ragged
    names: tuple[str, ...]  # of the fields
    tokenizer: Tokenizer
    eos: int

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def open(cls, source: TextSource, tokenizer: Tokenizer) -> ConditionedDataset:
        """Tokenize documents with their fields, once for the cache.

        Raises:
            UsageError: the tokenizer has no end-of-text token.
            LuoxiaError: no document can be used, or the cache cannot be written.
        """
        if tokenizer.eos is None:
            raise UsageError("this tokenizer has no end-of-text token, so it cannot end a text")
        names = [*_columns(source.condition), "texts"]
        known, _, (*fields, texts) = cached("conditions", source, [tokenizer], _build, names)
        return cls(*known, tuple(fields), texts, source.condition, tokenizer, tokenizer.eos)

    @cached_property
    def prefix_lengths(self) -> Indices:
        """Tokens before each text, (n,)."""
        fields = sum((field.lengths for field in self.fields), np.zeros(len(self), np.int64))
        return fields + len(_mark(self.tokenizer))

    def condition(self, index: int) -> dict[str, str]:
        """The fields of a document, by name; those without a value are left out."""
        lines = (self.tokenizer.decode(field[index].tolist()) for field in self.fields)
        named = zip(self.names, lines, strict=True)
        return {name: line.removeprefix(f"{name}=").removesuffix("\n") for name, line in named if line}

    def rows(self, chosen: Indices, context: int, kept: NDArray[np.bool_] | None = None) -> Windows:
        """Condition, mark and text of documents, a row each of at most ``context`` inputs, padded on the right.

        The targets are the text's tokens and <eos>; a text that does not fit is cut, and then has no <eos>. ``kept``
        (n, fields) tells which fields are stated; None: all. Conditions alone must be shorter than ``context``.
        """
        n, sizes = len(chosen), self.texts.lengths[chosen]
        stated = np.stack([field.lengths[chosen] for field in self.fields], axis=1)
        stated = stated if kept is None else stated * kept
        mark = _mark(self.tokenizer)
        begins = stated.sum(axis=1) + len(mark)  # where the text begins
        fitting = np.minimum(sizes, context - begins)  # so much of it is read
        padding = self.eos if self.tokenizer.pad is None else self.tokenizer.pad
        inputs = np.full((n, (begins + fitting).max()), padding)
        targets = np.full_like(inputs, IGNORED)
        column = np.zeros(n, np.int64)
        for field, length in zip(self.fields, stated.T, strict=True):
            field.put(inputs, chosen, at=column, limit=length)
            column += length
        inputs[np.arange(n)[:, None], column[:, None] + np.arange(len(mark))] = mark
        self.texts.put(inputs, chosen, at=begins, limit=fitting)
        self.texts.put(targets, chosen, at=begins - 1, limit=np.minimum(sizes, fitting + 1))
        ended = np.flatnonzero(fitting == sizes)
        targets[ended, (begins + sizes)[ended] - 1] = self.eos
        return Windows(inputs, targets, np.zeros(inputs.shape, np.int32))


@dataclass(frozen=True)
class Documents:
    """Some documents of a data set."""

    dataset: ConditionedDataset
    samples: Indices

    def __len__(self) -> int:
        return len(self.samples)

    def fitting(self, context: int) -> Indices:
        """Those whose condition leaves room for a text."""
        return self.samples[self.dataset.prefix_lengths[self.samples] < context]

    def in_order(self, context: int, batch: int, most: int | None = None) -> Iterator[Windows]:
        """Yield all that fit, or at most ``most`` of them, spread over all, ``batch`` at a time."""
        fitting = spread(self.fitting(context), most)
        for first in range(0, len(fitting), batch):
            yield self.dataset.rows(fitting[first : first + batch], context)


class ConditionedBatches(BucketedBatches):
    """Batches of texts after their conditions, each a pure function of (seed, index, world size, rank)."""

    def __init__(
        self,
        documents: Documents,
        tokens: int,
        context: int,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
        omitted: float = 0.0,
    ) -> None:
        """Prepare batches of at most ``tokens`` tokens, padding included, in rows of at most ``context``.

        Longer texts are cut; documents whose condition leaves no room for a text are left out and counted in
        ``dropped``. A row states no field with the chance ``omitted``, and otherwise leaves out each with this chance,
        so that a model can do without them.

        Raises:
            UsageError: no document is left, or ``tokens`` is less than the longest row.
        """
        dataset, fitting = documents.dataset, documents.fitting(context)
        if not len(fitting):
            raise UsageError(f"no condition is shorter than context={context} tokens: raise it")
        lengths = np.minimum(dataset.prefix_lengths + dataset.texts.lengths, context)
        super().__init__(lengths, fitting, tokens, seed, world_size, rank, None)
        self.dropped = len(documents) - len(fitting)
        self.dataset, self.context, self.seed, self.omitted = dataset, context, seed, omitted

    def __call__(self, index: int) -> Windows:
        """Return batch number ``index`` of this rank, from 0."""
        chosen = self.samples(index)
        return self.dataset.rows(chosen, self.context, self._kept(index, len(chosen)))

    def _kept(self, index: int, n: int) -> NDArray[np.bool_]:
        """Which fields are stated, (n, fields)."""
        number, fields = index * self._world_size + self._rank, len(self.dataset.fields)
        chance = generator_for("conditions", self.seed, number).random_raw(n * (fields + 1)) / 2.0**64
        stated = chance.reshape(n, fields + 1) >= self.omitted
        kept: NDArray[np.bool_] = stated[:, :1] & stated[:, 1:]
        return kept


def _columns(condition: tuple[str, ...]) -> list[str]:
    """Names of files, for the names of fields may be no such."""
    return [f"field{number}" for number in range(len(condition))]


def _build(folder: Path, source: TextSource, tokenizer: Tokenizer) -> Facts:
    fields = [RaggedWriter(folder, name, tokenizer.vocabulary) for name in _columns(source.condition)]
    texts = RaggedWriter(folder, "texts", tokenizer.vocabulary)
    for documents in in_chunks(source.documents(), lambda document: len(document.text)):
        for number, writer in enumerate(fields):
            lines = ["".join(condition_lines([document.fields[number]])) for document in documents]
            for ids in tokenizer.encode_batch(lines):
                writer.append(ids)
        for ids in tokenizer.encode_batch([document.text for document in documents]):
            texts.append(ids)
    for writer in (*fields, texts):
        writer.close()
    return {}
