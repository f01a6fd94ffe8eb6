"""Sequences of unequal lengths, end to end in one memory-mapped file; the cache folder they live in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from luoxia.core.cache import cache_folder, entry_of
from luoxia.core.reading import Skips
from luoxia.core.skips import Skipped
from luoxia.media.text.tokenizer import Tokenizer

VERSION = 2  # raise it when what is written changes
CHUNK = 1024  # texts that are tokenized at a time, at most
CHUNK_CHARACTERS = 2**22
FACTS = "dataset.json"
Facts = dict[str, Any]
Indices = NDArray[np.int64]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Ragged:
    """``tokens`` (total,) of all sequences; sequence i is ``tokens[starts[i]:starts[i + 1]]``."""

    tokens: NDArray[Any]  # uint16 or uint32, memory-mapped, read-only
    starts: Indices  # (n + 1,)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    @cached_property
    def lengths(self) -> Indices:
        """The length of each sequence, (n,)."""
        return np.diff(self.starts)

    def put(
        self, into: Indices, chosen: Indices, at: Indices | int = 0, limit: Indices | int | None = None
    ) -> None:
        """Write the ``chosen`` sequences into the rows of ``into`` (n, t), from column ``at`` on, at once.

        ``at`` is one column for all rows, or one a row, (n,); so is ``limit``, which cuts longer sequences.
        """
        lengths = self.lengths[chosen]
        if limit is not None:
            lengths = np.minimum(lengths, limit)
        row = np.repeat(np.arange(len(chosen)), lengths)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        column = np.broadcast_to(at, len(chosen))[row] + offset
        into[row, column] = self.tokens[self.starts[chosen][row] + offset]

    @classmethod
    def of(cls, sequences: Sequence[NDArray[Any]]) -> Ragged:
        """Hold these sequences in memory."""
        starts = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, np.uint32), *sequences]), starts)

    @classmethod
    def open(cls, folder: Path, name: str) -> Ragged:
        """Map what a RaggedWriter wrote; ValueError where it is damaged."""
        starts = np.load(folder / f"{name}.starts.npy")
        width = json.loads((folder / f"{name}.json").read_text("utf-8"))["bytes"]
        dtype: np.dtype[Any] = np.dtype({2: "<u2", 4: "<u4"}[width])
        path = folder / f"{name}.bin"
        if not len(starts) or path.stat().st_size != starts[-1] * width:
            raise ValueError("the sizes differ")
        if starts[-1] == 0:  # nothing can be mapped
            return cls(np.empty(0, dtype), starts)
        # A plain view of the map: slicing a memmap object itself costs several times as much.
        return cls(np.memmap(path, dtype, "r").view(np.ndarray), starts)


class RaggedWriter:
    """Appends sequences to a file of 2 bytes a token for vocabularies of up to 65,536 ids, else 4."""

    def __init__(self, folder: Path, name: str, vocabulary: int) -> None:
        self._folder, self._name = folder, name
        self._dtype: np.dtype[Any] = np.dtype("<u2" if vocabulary <= 2**16 else "<u4")
        self._file = (folder / f"{name}.bin").open("wb")
        self._total = 0
        self._starts = [0]

    def extend(self, ids: NDArray[Any]) -> None:
        """Lengthen the current sequence."""
        self._file.write(ids.astype(self._dtype).tobytes())
        self._total += len(ids)

    def end(self) -> None:
        """End the current sequence."""
        self._starts.append(self._total)

    def append(self, ids: NDArray[Any]) -> None:
        """Add a whole sequence."""
        self.extend(ids)
        self.end()

    def close(self) -> None:
        """Write where the sequences start."""
        self._file.close()
        np.save(self._folder / f"{self._name}.starts.npy", np.array(self._starts, np.int64))
        facts = json.dumps({"bytes": self._dtype.itemsize})
        (self._folder / f"{self._name}.json").write_text(facts, "utf-8")


class Source(Protocol):
    """What sequences are made from."""

    fingerprint: str
    title: str
    skips: Skips  # by the latest whole pass
    allowed: float  # share of the rows that may be broken


@dataclass(frozen=True)
class Packed:
    """A source in tokens, memory-mapped; each kind of data adds its sequences."""

    fingerprint: str  # of the source
    title: str  # what a person reads
    skips: Skips


def cached(
    kind: str,
    source: Source,
    tokenizers: Sequence[Tokenizer],
    build: Callable[..., Facts],
    names: Sequence[str],
) -> tuple[tuple[str, str, Skips], Facts, list[Ragged]]:
    """Open a source's cache entry of this kind, built by ``build(folder, source, *tokenizers)`` where it is not there.

    ``build`` writes the sequences called ``names`` and returns facts to keep with them. The entry appears
    whole or not at all, so two processes may build it at once; a damaged one is built again.

    Returns:
        What ``Packed`` holds, the facts, and the sequences in the order of ``names``.

    Raises:
        LuoxiaError: what ``build`` raises, or the cache cannot be written or read.
    """
    key = [kind, source.fingerprint, *(tokenizer.digest for tokenizer in tokenizers)]
    entry = cache_folder() / "texts" / sha256(json.dumps([VERSION, key]).encode()).hexdigest()[:32]

    def write(folder: Path) -> None:
        facts = build(folder, source, *tokenizers)
        (folder / FACTS).write_text(json.dumps({**facts, "skips": asdict(source.skips)}), "utf-8")

    def read(entry: Path) -> tuple[Skips, Facts, list[Ragged]]:
        facts = json.loads((entry / FACTS).read_text("utf-8"))
        listed = [Skipped(**skip) for skip in facts["skips"]["listed"]]
        skips = Skips(**{**facts["skips"], "listed": listed})
        return skips, facts, [Ragged.open(entry, name) for name in names]

    skips, facts, sequences = entry_of(entry, read, write)
    skips.check(source.title, source.allowed)
    return (source.fingerprint, source.title, skips), facts, sequences


def in_chunks(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in lists of at most ``CHUNK``, of about ``CHUNK_CHARACTERS`` by their sizes."""
    chunk: list[Item] = []
    filled = 0
    for item in items:
        chunk.append(item)
        filled += size(item)
        if len(chunk) == CHUNK or filled >= CHUNK_CHARACTERS:
            yield chunk
            chunk, filled = [], 0
    if chunk:
        yield chunk
