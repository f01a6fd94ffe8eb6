"""Tables as people's programs write them: CSV and its kin, of any separator, encoding and way of quoting.

``read_table(content, name)`` gives the rows of a small file that is in memory, such as a ``metadata.csv``; ``Table``
those of lines that come one after another, of a file of any size. Neither needs torch or an extra, but for
charset-normalizer (of the extra ``text``) where a file is neither UTF-8 nor UTF-16.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from luoxia.core.encoding import Encoding
from luoxia.core.errors import UsageError
from luoxia.core.names import many
from luoxia.core.reading import MAX_LINE_BYTES, Skips, lines_in
from luoxia.core.skips import Unusable

MAX_RECORD = (
    16 * 2**20
)  # characters of a record over several lines; beyond, its quotation is taken as never closed
SAMPLE_LINES, SAMPLE_CHARACTERS = 500, 2**20  # that tell the form
SEPARATORS = ",;\t|"
LONE = "\x1f"  # stands for the separator where there is but one column
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", LONE: "none"}
EXCEL = re.compile(r'"?sep=(.)"?', re.IGNORECASE)

Quoting = Literal["doubled", "escaped", "none"]
Line = tuple[int, str | None]

csv.field_size_limit(MAX_LINE_BYTES)  # once: the module's own limit, 128 KiB, is less than an article


@dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    separator: str = ","  # LONE: one column
    quoting: Quoting = "doubled"  # within quotation marks: "" is one, or \\" is, or they mean nothing
    blanks: bool = False  # those after a separator mean nothing

    def parse(self, lines: Iterable[str]) -> list[str]:
        """The cells of the record that ``lines`` begin with; csv.Error where it is malformed or has no end."""
        reader = csv.reader(
            lines,
            delimiter=self.separator,
            quoting=csv.QUOTE_NONE if self.quoting == "none" else csv.QUOTE_MINIMAL,
            doublequote=self.quoting == "doubled",
            escapechar="\\" if self.quoting == "escaped" else None,
            skipinitialspace=self.blanks,
            strict=True,
        )
        return next(reader, [])


class Table:
    """The rows of a table, to go through once.

    A record that cannot be read costs itself only, and is noted in ``skips`` under the number of its first line: one
    that is malformed, has too many or too few cells, or opens a quotation that is never closed.

    ``columns`` are the names in the header: without blanks around them, in Unicode's normal form C, "column 3" where
    the third has none. ``dialect`` is how the table is written, found out from its first lines.
    """

    def __init__(
        self, lines: Iterable[Line], name: str, skips: Skips, *, tabs: bool = False, width: int | None = None
    ) -> None:
        """Read the header of ``lines``, (number, text without line end or None for one that is skipped already).

        Args:
            lines: of the table, from its first.
            name: what a person reads, in the names of skipped rows too ("poems.csv:17").
            skips: what takes the rows that cannot be used.
            tabs: whether the separator is a tab wherever the first line has one.
            width: cells of a row of a table without header; None: the first row is the header.

        Raises:
            UsageError: two columns have one name.
            Unusable: the header cannot be read.
        """
        self._ahead = _Ahead(lines)
        self._name, self._skips = name, skips
        sample = self._ahead.sample()
        if sample and (stated := EXCEL.fullmatch(sample[0])):
            self._ahead.drop(self._ahead.until_text() + 1)
            sample = sample[1:]
        self.dialect = sniff(sample, tabs, stated[1] if sample and stated else None)
        self._records = _Records(self._ahead, self.dialect, width)
        self.columns = self._header() if width is None else []

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (number of its first line, cells) of each row; blank lines are passed over."""
        for number, row in self._records:
            if isinstance(row, str):
                self._skips.add(f"{self._name}:{number}", row)
            else:
                yield number, row

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield (number of its first line, cells by column) of each row."""
        for number, row in self.rows():
            yield number, dict(zip(self.columns, row, strict=True))

    def _header(self) -> list[str]:
        number, row = next(self._records, (1, []))
        if isinstance(row, str):
            raise Unusable(f"has a header that cannot be read, in line {number}: {row}")
        names = [unicodedata.normalize("NFC", cell.strip().strip("\ufeff")) for cell in row]
        for name, times in Counter(name for name in names if name).items():
            if times > 1:
                raise UsageError(
                    f"{self._name} has {times} columns called '{name}': give each a name of its own"
                )
        self._records.width = len(names) or None
        return [name or f"column {place}" for place, name in enumerate(names, 1)]


@dataclass(frozen=True)
class Read:
    """A table that was read whole."""

    columns: list[str]
    rows: list[
        tuple[int, dict[str, str]]
    ]  # (number of its first line, cells by column), those that could be read
    skips: Skips
    encoding: Encoding
    dialect: Dialect


def read_table(content: bytes, name: str) -> Read:
    """Read a table in memory; ``name`` is what a person reads.

    Raises:
        UsageError: two columns have one name.
        Unusable: it is not text, or its header cannot be read.
        MissingExtraError: it is neither UTF-8 nor UTF-16, and charset-normalizer is not there.
    """
    skips = Skips()
    encoding, lines = lines_in(content, name, skips)
    table = Table(lines, name, skips, tabs=name.lower().endswith(".tsv"))
    return Read(table.columns, list(table.records()), skips, encoding, table.dialect)


def sniff(lines: Sequence[str], tabs: bool = False, separator: str | None = None) -> Dialect:
    """How a table that begins with ``lines`` is written; ``separator`` where that is known.

    Only what stands in the header may separate; of several, what gives the most rows of the header's width. ``tabs``:
    a tab wins if it is there.
    """
    head = next((line for line in lines if line.strip()), "")
    if separator is None:
        present = [mark for mark in SEPARATORS if mark in head] or [LONE]
        separator = "\t" if tabs and "\t" in present else max(present, key=lambda mark: _fit(lines, mark))
    blanks = separator != LONE and _has_blanks(lines, separator)
    return Dialect(separator, _quoting(lines, separator, blanks), blanks)


def _fit(lines: Sequence[str], separator: str, quoting: Quoting = "doubled", blanks: bool = False) -> float:
    """The share of records that are well-formed, of the header's width."""
    records = _Records(_Ahead(enumerate(lines, 1)), Dialect(separator, quoting, blanks), None)
    good = bad = 0
    for _, row in records:
        if isinstance(row, str):
            bad += 1
        else:
            good += 1
            records.width = records.width or len(row)
    return good / max(1, good + bad)


def _has_blanks(lines: Sequence[str], separator: str) -> bool:
    """Whether blanks follow the separators of the header, or stand before quotations in more than a tenth of rows."""
    mark = re.escape(separator)
    head = lines[0] if lines else ""
    if head.count(separator) and len(re.findall(f"{mark} ", head)) == head.count(separator):
        return True
    opened = re.compile(f'{mark} +"(?!"|{mark}|$)')
    return sum(bool(opened.search(line)) for line in lines) > len(lines) / 10


def _quoting(lines: Sequence[str], separator: str, blanks: bool) -> Quoting:
    """What quotation marks mean: as in CSV, unless the rows show otherwise; between tabs only if they show it."""
    opening = re.compile(rf'(?:^|{re.escape(separator)})\s*"')
    opened = sum(bool(opening.search(line)) for line in lines)
    doubled = _fit(lines, separator, "doubled", blanks)
    if separator == "\t":
        most = min(0.9, 1 - 1.5 / max(2, len(lines)))  # a row may be broken
        tells = doubled > _fit(lines, separator, "none", blanks) or (
            doubled >= most and _written_quoted(lines)
        )
        return "doubled" if opened and tells else "none"
    if sum('\\"' in line for line in lines) > 1 and _fit(lines, separator, "escaped", blanks) > doubled:
        return "escaped"
    wrong = opened >= 20 and doubled < 0.5
    return "none" if wrong and _fit(lines, separator, "none", blanks) > 0.9 else "doubled"


def _written_quoted(lines: Sequence[str]) -> bool:
    """Whether some cell between tabs holds a doubled quotation mark as in CSV, or a column is quoted throughout."""
    if any(re.search(r'(?:^|\t)"(?:[^"\t]|"")*""(?:[^"\t]|"")*"(?=\t|$)', line) for line in lines):
        return True
    rows = [line.split("\t") for line in lines if line.strip()]
    if len(rows) < 3 or len({len(row) for row in rows}) > 1:
        return False
    columns = zip(*rows[1:], strict=True)
    return any(all(re.fullmatch('"[^"]*"', cell) for cell in column) for column in columns)


class _Ahead:
    """Lines, of which some are read before they are used."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._read: list[Line] = []
        self._first = 0

    def peek(self, index: int) -> Line | None:
        """The line ``index`` places on; None where the table ends."""
        while len(self._read) - self._first <= index:
            line = next(self._lines, None)
            if line is None:
                return None
            self._read.append(line)
        return self._read[self._first + index]

    def drop(self, number: int) -> None:
        """Leave so many lines behind."""
        self._first += number
        if self._first > SAMPLE_LINES:
            del self._read[: self._first]
            self._first = 0

    def sample(self) -> list[str]:
        """The first lines, without those that are skipped."""
        found: list[str] = []
        size = 0
        for index in range(SAMPLE_LINES):
            line = self.peek(index)
            if line is None or size > SAMPLE_CHARACTERS:
                break
            if line[1] is not None:
                found.append(line[1])
                size += len(line[1])
        return found

    def until_text(self) -> int:
        """How many skipped lines come before the first of text."""
        return next(index for index in count() if (line := self.peek(index)) is None or line[1] is not None)


class _Feed:
    """The lines ahead, one after another, as long as a record may be; counts those ``taken``."""

    def __init__(self, ahead: _Ahead) -> None:
        self._ahead, self.taken, self._size = ahead, 0, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.peek(self.taken)
        if line is None or line[1] is None or self._size > MAX_RECORD:
            raise StopIteration
        self.taken += 1
        self._size += len(line[1])
        return line[1] + "\n"


class _Records:
    """Each record's number and cells, or why it cannot be read; ``width`` may be set once it is known."""

    def __init__(self, ahead: _Ahead, dialect: Dialect, width: int | None) -> None:
        self._ahead, self._dialect, self.width = ahead, dialect, width
        self._headed = width is None
        self._open = False  # whether what is broken just before has a quotation that may be closed here
        self._closing = re.compile(rf'[^"]"(?:{re.escape(dialect.separator)}|$)')

    def __iter__(self) -> Iterator[tuple[int, list[str] | str]]:
        return self

    def __next__(self) -> tuple[int, list[str] | str]:
        while (line := self._ahead.peek(0)) is not None:
            number, text = line
            if text is None or not (text.strip() or self._dialect.separator in text):
                self._ahead.drop(1)
                continue
            taken, row = self._record(text)
            self._ahead.drop(taken)
            self._open = isinstance(row, str) and self._open != bool(text.count('"') % 2)
            return number, row
        raise StopIteration

    def _record(self, text: str) -> tuple[int, list[str] | str]:
        """(lines that it takes, its cells or what is wrong).

        Where a quotation is closed late or never, its record is the first line alone, and the next line begins another.
        """
        feed = _Feed(self._ahead)
        try:
            row = self._dialect.parse(feed)
        except csv.Error as error:
            late = feed.taken > 1 or "unexpected end" in str(error)
            return 1, "a quotation that is never closed" if late else f"malformed: {error}"
        if self._open and feed.taken == 1 and text.count('"') % 2 and self._closing.search(text):
            return 1, "the rest of the broken record before it"
        fault = self._misfit(row)
        if fault is None:
            return feed.taken, row[: self.width]
        if feed.taken > 1 and self._stand_alone(feed.taken):
            return 1, "a quotation that is never closed"
        return feed.taken, fault

    def _misfit(self, row: Sequence[str]) -> str | None:
        """What is wrong with the number of cells; empty ones at the end may be too many."""
        width = self.width
        if width is None or (len(row) >= width and not any(row[width:])):
            return None
        found = many(len(row), "column")
        return f"{found} where {f'the header has {width}' if self._headed else f'{width} are needed'}"

    def _stand_alone(self, taken: int) -> bool:
        """Whether most lines of a record but its first are records themselves."""
        alone = 0
        for index in range(1, taken):
            line = self._ahead.peek(index)
            try:
                alone += self._misfit(self._dialect.parse([f"{line[1]}\n"] if line else [])) is None
            except csv.Error:
                continue
        return alone > (taken - 1) / 2
