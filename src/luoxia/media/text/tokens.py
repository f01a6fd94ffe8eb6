"""Packed tokens: all documents end to end, and windows into them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.core.order import Order, generator_for, holdout_split, spread
from luoxia.media.text.ragged import Facts, Indices, Packed, Ragged, RaggedWriter, cached, in_chunks
from luoxia.media.text.sources import TextSource
from luoxia.media.text.tokenizer import Tokenizer

IGNORED = -100  # the target that costs nothing, as in torch.nn.functional.cross_entropy


class Windows(NamedTuple):
    """A batch of stretches of text, each (n, context)."""

    inputs: Indices
    targets: Indices  # the token after each input
    segments: NDArray[np.int32]  # numbers the documents within a window, from 0

    def bounds(self) -> NDArray[np.int32]:
        """Where each document begins, windows end to end, and the end of the last: (documents + 1,)."""
        begins = np.ones(self.segments.shape, bool)
        begins[:, 1:] = self.segments[:, 1:] != self.segments[:, :-1]
        return np.append(np.flatnonzero(begins), begins.size).astype(np.int32)


@dataclass(frozen=True)
class TokenStream:
    """Stretches of the packed tokens, read as if they stood end to end."""

    tokens: NDArray[np.uint16] | NDArray[np.uint32]
    spans: Indices  # (k, 2): start and end of each stretch
    eos: int

    def __len__(self) -> int:
        return int((self.spans[:, 1] - self.spans[:, 0]).sum())

    def take(self, positions: Indices) -> Indices:
        """The tokens at these positions of the stream, of the same shape."""
        lengths = self.spans[:, 1] - self.spans[:, 0]
        ends = np.cumsum(lengths)
        span = np.searchsorted(ends, positions, side="right")
        taken: Indices = self.tokens[positions - (ends - lengths)[span] + self.spans[span, 0]].astype(
            np.int64
        )
        return taken

    def windows(self, starts: Indices, context: int) -> Windows:
        """The windows of ``context`` tokens that begin at ``starts``; after the end follows the beginning."""
        positions = (starts[:, None] + np.arange(context + 1)) % len(self)
        tokens = self.take(positions)
        inputs = tokens[:, :-1]
        # A document begins after the end of another, and where the stream begins.
        begins = (inputs[:, :-1] == self.eos) | (positions[:, 1:-1] == 0)
        segments = np.zeros(inputs.shape, np.int32)
        segments[:, 1:] = np.cumsum(begins, axis=1)
        return Windows(inputs, tokens[:, 1:], segments)

    def fitting(self, context: int) -> Indices:
        """Where windows begin in which each token of the stream but the first is the target exactly once."""
        return np.arange(0, max(len(self) - 1, 0), context)

    def in_order(self, context: int, batch: int, most: int | None = None) -> Iterator[Windows]:
        """Yield the windows that begin there, or at most ``most`` of them, spread over all, ``batch`` at a time.

        The last window is filled up with what costs nothing: its targets are -100.
        """
        starts = spread(self.fitting(context), most)
        for first in range(0, len(starts), batch):
            chosen = starts[first : first + batch]
            inputs, targets, segments = self.windows(chosen, context)
            beyond = chosen[:, None] + np.arange(context) >= len(self) - 1
            yield Windows(inputs, np.where(beyond, IGNORED, targets), segments)


@dataclass(frozen=True)
class TokenDataset(Packed):
    """The documents of a source as tokens, each followed by the end-of-text token, memory-mapped."""

    documents: Ragged
    eos: int

    def __len__(self) -> int:
        return len(self.documents)

    @classmethod
    def open(cls, source: TextSource, tokenizer: Tokenizer) -> TokenDataset:
        """Tokenize a source, once for the cache.

        Raises:
            UsageError: the tokenizer has no end-of-text token.
            LuoxiaError: no document can be used, or the cache cannot be written.
        """
        if tokenizer.eos is None:
            raise UsageError("this tokenizer has no end-of-text token, so it cannot separate documents")
        known, _, (documents,) = cached("tokens", source, [tokenizer], _build, ["documents"])
        return cls(*known, documents, tokenizer.eos)

    def split(self, fraction: float = 0.1, seed: int = 0) -> tuple[TokenStream, TokenStream]:
        """Split into (train, held-out), a pure function of the arguments.

        Args:
            fraction: the share held out; 0: nothing.
            seed: chooses the documents.

        From 20 documents on, ``round(count * fraction)`` of them are held out, at least 1, at most 1,000; below that
        the last tokens.

        Raises:
            ValueError: the fraction is not within 0 … 1 (excluding 1).
        """
        train, heldout = holdout_split(len(self), fraction, seed)
        if fraction == 0:
            return self.whole(), self._stream([])
        starts = self.documents.starts
        if not len(heldout):
            # The last token of all is the mark that ends the text.
            cut = int((starts[-1] - 1) * (1 - fraction))
            return self._stream([(0, cut)]), self._stream([(cut, starts[-1])])
        return self._stream(_runs(starts, train)), self._stream(_runs(starts, heldout))

    def whole(self) -> TokenStream:
        """All documents, for data that is split already."""
        return self._stream([(0, self.documents.starts[-1])])

    def _stream(self, spans: list[tuple[int, int]]) -> TokenStream:
        return TokenStream(self.documents.tokens, np.array(spans, np.int64).reshape(-1, 2), self.eos)


class TokenBatches:
    """Batches of windows for training, each a pure function of (seed, index, rank).

    In an epoch the windows lie end to end, from a place of the stream that the epoch's number decides, so
    each token is an input at most once; the ``len(stream) % context`` tokens left over are others each time.
    """

    dropped = 0  # documents left out: none, however long

    def __init__(
        self,
        stream: TokenStream,
        batch: int,
        context: int,
        seed: int,
        world_size: int = 1,
        rank: int = 0,
    ) -> None:
        """Prepare batches of ``batch`` windows a rank.

        Raises:
            UsageError: the stream is not longer than one window.
        """
        if len(stream) <= context:
            raise UsageError(
                f"the text has {len(stream):,} tokens, not more than context={context}:"
                " give more text, or a smaller context"
            )
        self.stream, self.batch, self.context, self.seed = stream, batch, context, seed
        self.world_size, self.rank = world_size, rank
        self.per_epoch = len(stream) // context  # windows
        self._order = Order(self.per_epoch, seed)

    def __call__(self, index: int) -> Windows:
        """Return batch number ``index`` of this rank, from 0."""
        return self.stream.windows(self.starts(index), self.context)

    def starts(self, index: int) -> Indices:
        """Where in the stream the windows of a batch begin, (batch,)."""
        first = (index * self.world_size + self.rank) * self.batch
        epochs, which = np.unique((first + np.arange(self.batch)) // self.per_epoch, return_inverse=True)
        phases = np.array([self._phase(int(epoch)) for epoch in epochs], np.int64)
        return (phases[which] + self._order.indices(first, self.batch) * self.context) % len(self.stream)

    def _phase(self, epoch: int) -> int:
        return int(generator_for("phase", self.seed, epoch).random_raw() % len(self.stream))


def _build(folder: Path, source: TextSource, tokenizer: Tokenizer) -> Facts:
    writer = RaggedWriter(folder, "documents", tokenizer.vocabulary)
    begin, end = np.array(tokenizer.prefix, np.int64), np.array([tokenizer.eos])
    begins = len(begin) > 0  # what a foreign model expects before each text
    for pieces in in_chunks(source.pieces(), lambda piece: len(piece.text)):
        for piece, ids in zip(pieces, tokenizer.encode_batch([piece.text for piece in pieces]), strict=True):
            if begins:
                writer.extend(begin)
            writer.extend(ids)
            if piece.ends:
                writer.append(end)
            begins = piece.ends and len(begin) > 0
    writer.close()
    return {}


def _runs(starts: Indices, documents: Indices) -> list[tuple[int, int]]:
    """The stretches of tokens that these documents, in ascending order, lie in."""
    breaks = np.flatnonzero(np.diff(documents) != 1) + 1
    return [(int(starts[run[0]]), int(starts[run[-1] + 1])) for run in np.split(documents, breaks)]
