"""Pairs of texts: two aligned files, or rows with two fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from luoxia.core.cells import MissingError
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded
from luoxia.core.reading import ALLOWED, EncodedFile, Skips, lines
from luoxia.core.skips import Unusable
from luoxia.media.text.files import open_files
from luoxia.media.text.records import RECORDS, as_text, known_fields, records, table
from luoxia.media.text.sources import PathLike, fingerprint_of


@dataclass(frozen=True)
class Pair:
    """A source and its target; ``name`` says where they stand ("train.tsv:17")."""

    name: str
    source: str
    target: str


@dataclass
class PairSource:
    """Pairs to iterate over any number of times."""

    title: str
    fingerprint: str
    files: tuple[EncodedFile, ...]
    fields: tuple[str, str] | None = None  # None: two files, or the two columns of a table without header
    skips: Skips = field(default_factory=Skips)  # by the latest whole pass
    allowed: float = ALLOWED  # share of the rows that may be broken

    def pairs(self) -> Iterator[Pair]:
        """Yield all pairs with two sides; the others are noted in ``skips``.

        Raises:
            UsageError: the two files have different numbers of lines.
            LuoxiaError: at the end, when not one pair could be used, or more rows are broken than ``allowed``.
        """
        skips = Skips()
        try:
            for pair in self._read(skips):
                empty = [side for side in ("source", "target") if not getattr(pair, side).strip()]
                if empty:
                    skips.add(pair.name, "empty " + " and ".join(empty), "missing")
                    continue
                skips.used += 1
                yield pair
        except (OSError, Unusable) as error:
            raise LuoxiaError(f"{self.title} changed while it was read ({error}): try again") from error
        self.skips = skips
        skips.check(self.title, self.allowed)
        if not skips.used:
            reason = f" ({skips.listed[0].name}: {skips.listed[0].reason})" if skips.listed else ""
            raise LuoxiaError(f"{self.title} has no pair that can be used{reason}: give other files")

    def texts(self) -> Iterator[str]:
        """Yield all sources and targets, to train a tokenizer on."""
        for pair in self.pairs():
            yield pair.source
            yield pair.target

    def _read(self, skips: Skips) -> Iterator[Pair]:
        if len(self.files) == 2:
            return self._aligned(skips)
        return self._columns(skips) if self.fields is None else self._named(*self.fields, skips)

    def _aligned(self, skips: Skips) -> Iterator[Pair]:
        first, second = self.files
        for left, right in zip_longest(lines(first, skips), lines(second, skips)):
            number, source = left or (0, "")
            number, target = right or (number, "")
            if left is None or right is None:
                if f"{source}{target}".strip():
                    raise _misaligned(first, second)
            elif source is not None and target is not None:
                yield Pair(f"{first.name}:{number}", source, target)

    def _columns(self, skips: Skips) -> Iterator[Pair]:
        (file,) = self.files
        for number, (source, target) in table(file, skips, width=2).rows():
            yield Pair(f"{file.name}:{number}", source, target)

    def _named(self, source: str, target: str, skips: Skips) -> Iterator[Pair]:
        (file,) = self.files
        for number, record in records(file, skips):
            name = f"{file.name}:{number}"
            try:
                yield Pair(name, as_text(record, source), as_text(record, target))
            except ValueError as reason:
                skips.add(name, str(reason), "missing" if isinstance(reason, MissingError) else "broken")


def read_pairs(
    path: PathLike, against: PathLike | None = None, *, allow_skipped: float = ALLOWED
) -> PairSource:
    """Open pairs of texts.

    Args:
        path: with ``against``, a file of any ending whose line i pairs with line i of ``against``. Without, a
            ``.tsv`` of two columns without a header, or rows of JSON or a ``.csv`` with the fields "source" and
            "target", or else two fields only; each perhaps packed as ``.gz``.
        against: the file with the targets.
        allow_skipped: the share of the rows that may be broken; pairs with an empty side are skipped, and do
            not count.

    Raises:
        UsageError: nothing is there, it is binary, the files have different numbers of lines, or the fields
            are not clear.
        LuoxiaError: a file cannot be read.
    """
    first = _one_file(path)
    if against is not None:
        second = _one_file(against)
        _check_aligned(first, second)
        return _source(f"{path} and {against}", (first, second), None, allow_skipped)
    if first.kind not in RECORDS:
        raise UsageError(f"{path} holds one side only: give the file with the other side as against=")
    fields = None if first.kind == "tsv" else _two_fields(first, str(path))
    return _source(str(path), (first,), fields, allow_skipped)


def _source(
    title: str, files: tuple[EncodedFile, ...], fields: tuple[str, str] | None, allowed: float
) -> PairSource:
    key = ["pairs", fields, [[file.kind, file.digest, file.encoding.name] for file in files]]
    return PairSource(title, fingerprint_of(key), files, fields, allowed=allowed)


def _one_file(path: PathLike) -> EncodedFile:
    place = expanded(path)
    if place.is_dir():
        raise UsageError(f"{path} is a folder: give a file of pairs, or two aligned files")
    return open_files(place, Skips())[0]


def _two_fields(file: EncodedFile, where: str) -> tuple[str, str]:
    known = known_fields(file)
    if {"source", "target"} <= set(known):
        return "source", "target"
    if len(known) != 2:
        raise UsageError(
            f"{where} has the fields {', '.join(known) or 'none'}, and pairs need two: call them source and target"
        )
    return known[0], known[1]


def _check_aligned(first: EncodedFile, second: EncodedFile) -> None:
    if _line_count(first) != _line_count(second):
        raise _misaligned(first, second)


def _misaligned(first: EncodedFile, second: EncodedFile) -> UsageError:
    """What is said of files of unlike numbers of lines: a line may be missing where one is blank on one side only."""
    counts = " and ".join(f"{file.path} has {_line_count(file):,} lines" for file in (first, second))
    sides = zip(lines(first, Skips()), lines(second, Skips()), strict=False)
    lone = (n for (n, left), (_, right) in sides if bool((left or "").strip()) != bool((right or "").strip()))
    number = next(lone, None)
    hint = "" if number is None else f"; line {number} is the first that is blank in one of them only"
    return UsageError(f"{counts}, but line i of one must pair with line i of the other{hint}")


def _line_count(file: EncodedFile) -> int:
    """Up to the last that is not blank."""
    return max((number for number, line in lines(file, Skips()) if line is None or line.strip()), default=0)
