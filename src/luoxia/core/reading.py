"""Text files as bytes, lines and blocks: packed or not, of any size, never loaded whole."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal

from luoxia.core.encoding import Encoding, Inspection, inspect
from luoxia.core.errors import LuoxiaError
from luoxia.core.names import many
from luoxia.core.skips import Skipped, Unusable

BLOCK_BYTES = 2**20
MAX_LINE_BYTES = 64 * 2**20
ALLOWED = 0.01  # share of the rows that may be broken
MAX_LISTED = 1000  # skipped lines are all counted; this many are listed
MAX_RATIO = 500  # unpacked over packed: plain text reaches 30, bombs 1,000
FREE_BYTES = 64 * 2**20  # below this size a bomb hurts nobody


@dataclass
class Skips:
    """What could not be used: all counted, the first ``MAX_LISTED`` listed. Rows of plain text are its lines."""

    count: int = 0  # files and rows
    listed: list[Skipped] = field(default_factory=list)
    used: int = 0  # rows that were read
    broken: int = 0  # rows that cannot be read
    files: int = 0

    def add(self, name: str, reason: str, kind: Literal["broken", "missing", "file"] = "broken") -> None:
        """Count a row ("poems.jsonl:17") that is broken or says nothing, or a whole file."""
        self.count += 1
        self.broken += kind == "broken"
        self.files += kind == "file"
        if len(self.listed) < MAX_LISTED:
            self.listed.append(Skipped(name, reason))

    @property
    def rows(self) -> int:
        """All rows, the skipped ones too."""
        return self.used + self.count - self.files

    def amount(self) -> str:
        """How much was skipped, in words: "1 of 10,000 rows"; "" for nothing."""
        rows = self.count - self.files
        parts = [many(self.files, "file")] if self.files else []
        parts += [f"{rows:,} of {many(self.rows, 'row')}"] if rows else []
        return " and ".join(parts)

    def check(self, title: str, allowed: float) -> None:
        """Raise LuoxiaError where more than this share of the rows is broken; rows that say nothing do not count."""
        if self.broken > allowed * self.rows:
            first = f" ({self.listed[0].name}: {self.listed[0].reason})" if self.listed else ""
            raise LuoxiaError(
                f"{self.broken:,} of {many(self.rows, 'row')} of {title} cannot be read{first}, more than"
                f" allow_skipped={allowed:g}: mend the file, or allow a larger share"
            )

    def copy(self) -> Skips:
        """An independent copy."""
        return replace(self, listed=list(self.listed))


@dataclass(frozen=True)
class EncodedFile:
    """A file whose encoding is known; ``name`` is what a person reads, relative to the source."""

    path: Path
    name: str
    encoding: Encoding
    digest: str  # of the unpacked bytes

    @property
    def kind(self) -> str:
        """The ending that tells the format: "txt", "jsonl", …; without the dot and the .gz."""
        return kind_of(self.path)


def kind_of(path: Path) -> str:
    """The ending of a name in lower case, without the dot and a final .gz; "" if there is none."""
    name = path.name.lower().removesuffix(".gz")
    return name.rpartition(".")[2] if "." in name[1:] else ""


def open_text(path: Path, name: str) -> EncodedFile:
    """Read a file once: its digest and its encoding.

    Raises:
        Unusable: it is a binary file, or damaged.
        OSError: it cannot be read.
    """
    seen = _inspect(path)
    return EncodedFile(path, name, seen.encoding(), seen.digest)


def lines(file: EncodedFile, skips: Skips) -> Iterator[tuple[int, str | None]]:
    """Yield (number from 1, line without its end); None for a line that is skipped, which ``skips`` notes.

    Only newlines end a line (not the other characters that ``str.splitlines`` knows, which would misalign
    pairs); a carriage return before one goes with it. In a file without newlines, carriage returns end lines.
    """
    with _unpacked(file.path) as stream:
        yield from lines_of(stream, file.encoding, file.name, skips)


def lines_of(
    stream: BinaryIO, encoding: Encoding, name: str, skips: Skips
) -> Iterator[tuple[int, str | None]]:
    """The same of a stream of bytes, from its beginning; ``name`` is what a person reads."""
    stream = _narrowed(stream, encoding)
    number = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        try:
            if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                _skip_line(stream)
                raise Unusable(f"longer than {MAX_LINE_BYTES / 2**20:g} MiB")
            line = _decoded(raw, encoding).removesuffix("\n").removesuffix("\r")
        except Unusable as reason:
            skips.add(f"{name}:{number}", str(reason))
            yield number, None
        else:
            yield number, line


def lines_in(content: bytes, name: str, skips: Skips) -> tuple[Encoding, Iterator[tuple[int, str | None]]]:
    """The encoding of a small file's ``content``, and its lines as ``lines`` yields them.

    Raises:
        Unusable: it is not text.
    """
    encoding = inspect(_cut(io.BytesIO(content))).encoding()
    return encoding, lines_of(io.BytesIO(content), encoding, name, skips)


def blocks(file: EncodedFile, skips: Skips) -> Iterator[str]:
    """Yield the whole text in pieces of about ``BLOCK_BYTES``, cut between lines where there are any.

    Line ends become newlines. Lines that cannot be decoded are left out and noted.
    """
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    with _unpacked(file.path) as packed:
        number = 1
        for block in _cut(_narrowed(packed, file.encoding), file.encoding):
            try:
                text = _decoded(block, file.encoding)
            except Unusable:
                text = "".join(_good_lines(block, number, file, skips))
            yield ends.decode(text)
            number += block.count(b"\n")
    yield ends.decode("", final=True)


def _good_lines(block: bytes, number: int, file: EncodedFile, skips: Skips) -> Iterator[str]:
    for offset, line in enumerate(_split(block)):
        try:
            yield _decoded(line, file.encoding)
        except Unusable as reason:
            skips.add(f"{file.name}:{number + offset}", str(reason))


def _split(block: bytes) -> list[bytes]:
    parts = block.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _decoded(raw: bytes, encoding: Encoding) -> str:
    if b"\0" in raw:
        raise Unusable("holds a NUL byte")
    try:
        return raw.decode("utf-8" if encoding.wide else encoding.name)  # wide: see _Narrowed
    except UnicodeDecodeError as error:
        raise Unusable(f"not valid {encoding.name}") from error


def _skip_line(stream: BinaryIO) -> None:
    while (piece := stream.readline(BLOCK_BYTES)) and not piece.endswith(b"\n"):
        pass


def _cut(stream: BinaryIO, encoding: Encoding | None = None) -> Iterator[bytes]:
    """Cut into blocks at the last newline of each, or where a character ends if there is none."""
    rest = b""
    while block := stream.read(BLOCK_BYTES):
        block = rest + block
        end = block.rfind(b"\n") + 1 or _character_end(block, encoding)
        if end:
            yield block[:end]
        rest = block[end:]
    if rest:
        yield rest


def _character_end(block: bytes, encoding: Encoding | None) -> int:
    """Where the last whole character ends, by UTF-8's rule or by the codec's state."""
    if encoding is None or encoding.wide or encoding.name == "utf-8":
        for back in range(1, min(4, len(block)) + 1):
            lead = block[-back]
            if lead < 0x80 or lead >= 0xC0:
                width = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
                return len(block) if back >= width else len(block) - back
        return len(block)
    decoder = codecs.getincrementaldecoder(encoding.name)("replace")
    decoder.decode(block)
    return len(block) - len(decoder.getstate()[0])


def _inspect(path: Path) -> Inspection:
    with _unpacked(path) as stream:
        return inspect(_cut(stream))


def _narrowed(stream: BinaryIO, encoding: Encoding) -> BinaryIO:
    """The bytes after the mark, with newlines of one byte: UTF-16 and UTF-32 become UTF-8 on the way."""
    stream.read(encoding.mark)
    if encoding.wide:
        stream = io.BufferedReader(_Narrowed(stream, encoding.name), BLOCK_BYTES)
    return io.BufferedReader(_Returned(stream), BLOCK_BYTES) if encoding.returns else stream


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unusable("is not a regular file")
    try:
        with path.open("rb") as packed:
            if path.suffix.lower() != ".gz":
                yield packed
                return
            limit = max(FREE_BYTES, MAX_RATIO * os.fstat(packed.fileno()).st_size)
            with gzip.GzipFile(fileobj=packed) as file:
                yield io.BufferedReader(_Bounded(file, limit), BLOCK_BYTES)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Unusable(f"is damaged as gzip ({error})") from error


class _Raw(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def next_bytes(self, size: int) -> bytes:
        raise NotImplementedError

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self.next_bytes(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Bounded(_Raw):
    """Unpacks no more than ``limit`` bytes."""

    def __init__(self, file: gzip.GzipFile, limit: int) -> None:
        self.file, self.left = file, limit

    def next_bytes(self, size: int) -> bytes:
        piece = self.file.read(size)
        self.left -= len(piece)
        if self.left < 0:
            raise Unusable(f"unpacks to more than {MAX_RATIO} times its packed size")
        return piece


class _Narrowed(_Raw):
    """UTF-16 or UTF-32 as UTF-8; an invalid character becomes bytes that are not UTF-8, and so a bad line."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.stream, self.pending = stream, b""
        self.decoder = codecs.getincrementaldecoder(name)("surrogatepass")

    def next_bytes(self, size: int) -> bytes:
        while not self.pending:
            raw = self.stream.read(BLOCK_BYTES)
            try:
                self.pending = self.decoder.decode(raw, final=not raw).encode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                self.decoder.reset()
                self.pending = b"\xff"
                if raw:
                    continue
            if not raw:
                break
        piece, self.pending = self.pending[:size], self.pending[size:]
        return piece


class _Returned(_Raw):
    """Carriage returns as newlines; no encoding that is read so has them within another character."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def next_bytes(self, size: int) -> bytes:
        return self.stream.read(size).replace(b"\r", b"\n")
