"""Labeled texts, tokenized and memory-mapped: for classification."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luoxia.core.cells import one_name_a_number
from luoxia.core.errors import UsageError
from luoxia.media.labels import class_names
from luoxia.media.text.buckets import BucketedBatches
from luoxia.media.text.padded import padded
from luoxia.media.text.ragged import Facts, Indices, Packed, Ragged, RaggedWriter, cached, in_chunks
from luoxia.media.text.sources import TextSource
from luoxia.media.text.tokenizer import Tokenizer


class LabeledBatch(NamedTuple):
    """Texts (n, t), padded on the right, and their classes (n,)."""

    ids: Indices
    mask: NDArray[np.bool_]  # True where there is a token
    labels: Indices


@dataclass(frozen=True)
class LabeledDataset(Packed):
    """Token sequences and their classes; ``n`` is ``len(dataset)``."""

    texts: Ragged
    labels: Indices  # (n,), an index into classes
    classes: tuple[str, ...]
    tokenizer: Tokenizer

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def open(cls, source: TextSource, tokenizer: Tokenizer) -> LabeledDataset:
        """Tokenize labeled documents, once for the cache.

        Raises:
            UsageError: the source has no labels, only one class, or the tokenizer no <pad>.
            LuoxiaError: no document can be used, or the cache cannot be written.
        """
        if not source.labeled:
            raise UsageError(f"{source.title} has no labels: give a folder of class folders, or label=FIELD")
        if tokenizer.pad is None:
            raise UsageError("a tokenizer for labeled texts needs a padding token, and this one has none")
        known, facts, (texts, labels) = cached("labeled", source, [tokenizer], _build, ["texts", "labels"])
        classes = tuple(facts["classes"])
        if len(classes) < 2:
            raise UsageError(f"all texts in {source.title} are of the class '{classes[0]}': give two classes")
        return cls(*known, texts, labels.tokens.astype(np.int64), classes, tokenizer)


class LabeledBatches(BucketedBatches):
    """Batches of labeled texts, each a pure function of (seed, index, world size, rank)."""

    def __init__(
        self,
        dataset: LabeledDataset,
        tokens: int = 4096,
        seed: int = 0,
        world_size: int = 1,
        rank: int = 0,
        longest: int = 256,
        samples: Indices | None = None,
    ) -> None:
        """Prepare batches of at most ``tokens`` tokens, padding included.

        Texts longer than ``longest`` tokens, the tokenizer's own marks included, lose their end; ``cut``
        counts them. ``samples`` chooses among the texts, for a split; None: all.

        Raises:
            UsageError: there is no text, ``tokens`` is less than the longest, or ``longest`` leaves no room.
        """
        marks = len(dataset.tokenizer.prefix) + len(dataset.tokenizer.suffix)
        if longest <= marks:
            raise UsageError(f"max_length={longest} leaves no room for text: raise it")
        lengths = dataset.texts.lengths + marks
        super().__init__(np.minimum(lengths, longest), samples, tokens, seed, world_size, rank, longest)
        used = lengths if samples is None else lengths[samples]
        self.cut = int((used > longest).sum())
        self.dataset = dataset
        self._longest = longest

    def __call__(self, index: int) -> LabeledBatch:
        """Return batch number ``index`` of this rank, from 0."""
        return self.gather(self.samples(index))

    def gather(self, chosen: Indices) -> LabeledBatch:
        """These texts."""
        data = self.dataset
        return LabeledBatch(*padded(data.texts, chosen, data.tokenizer, self._longest), data.labels[chosen])


def _build(folder: Path, source: TextSource, tokenizer: Tokenizer) -> Facts:
    texts = RaggedWriter(folder, "texts", tokenizer.vocabulary)
    labels: list[str] = []
    for documents in in_chunks(source.documents(), lambda document: len(document.text)):
        for ids in tokenizer.encode_batch([document.text for document in documents]):
            texts.append(ids)
        labels += [document.label or "" for document in documents]
    texts.close()
    renamed = one_name_a_number(labels)
    labels = [renamed.get(label, label) for label in labels]
    classes = class_names(labels)
    position = {name: index for index, name in enumerate(classes)}
    numbers = RaggedWriter(folder, "labels", len(classes))
    numbers.append(np.array([position[label] for label in labels]))
    numbers.close()
    return {"classes": classes}
