"""Rows with named fields: lines of JSON, and tables of comma- or tab-separated values."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import islice

from luoxia.config import nearest
from luoxia.data.text.reading import MAX_LINE_BYTES, Skips, TextFile, lines
from luoxia.errors import UsageError

RECORDS = frozenset({"jsonl", "ndjson", "csv", "tsv"})
LOOK_AHEAD = 1000  # rows in which a field must appear to be known
Record = dict[str, object]


def records(file: TextFile, skips: Skips) -> Iterator[tuple[int, Record]]:
    """Yield (line number, fields); rows that cannot be read are noted in ``skips``.

    The first row of a table names its columns. Comma-separated values may be quoted, over several lines too;
    tab-separated values are never quoted, so that quotation marks in a text stay what they are.
    """
    if file.kind not in ("csv", "tsv"):
        yield from _json_lines(file, skips)
        return
    rows = table(file, skips)
    _, header = next(rows, (0, []))
    for number, row in rows:
        if len(row) != len(header):
            skips.add(f"{file.name}:{number}", f"{_count(row, 'column')} where the header has {len(header)}")
        else:
            yield number, dict(zip(header, row, strict=True))


def table(file: TextFile, skips: Skips) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of a table, the header too; empty lines are passed over."""
    if file.kind == "csv":
        yield from _comma_separated(file, skips)
        return
    for number, line in lines(file, skips):
        if line:
            yield number, line.split("\t")


def known_fields(file: TextFile) -> list[str]:
    """The names of the fields in the first rows, in the order in which they appear."""
    names: dict[str, None] = {}
    for _, record in islice(records(file, Skips()), LOOK_AHEAD):
        names.update(dict.fromkeys(record))
    return list(names)


def require(names: Sequence[str], known: Sequence[str], where: str) -> None:
    """Raise UsageError, naming the nearest fields, where a name is not known."""
    for name in names:
        if name not in known:
            fields = ", ".join(known[:20]) or "none"
            hint = nearest(name, known) or f"; its fields are {fields}"
            raise UsageError(f"{where} has no field '{name}'{hint}")


def as_text(record: Record, name: str) -> str:
    """The field as text: numbers are written out.

    Raises:
        ValueError: it is missing, or is a list, an object, null, or no valid Unicode; the message says so.
    """
    if name not in record:
        raise ValueError(f"no field '{name}'")
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the field '{name}' is not text but {_json_kind(value)}")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the field '{name}' holds half a surrogate pair") from None
    return text


def _json_lines(file: TextFile, skips: Skips) -> Iterator[tuple[int, Record]]:
    for number, line in lines(file, skips):
        if line is None or not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            skips.add(f"{file.name}:{number}", f"invalid JSON: {error.msg} at column {error.colno}")
        except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
            skips.add(f"{file.name}:{number}", "invalid JSON: a number too long or nesting too deep")
        else:
            if isinstance(record, dict):
                yield number, record
            else:
                skips.add(f"{file.name}:{number}", f"not a JSON object but {_json_kind(record)}")


class _Numbered:
    """The lines of a file as the csv module wants them, with the number of the latest."""

    def __init__(self, file: TextFile, skips: Skips) -> None:
        self.number = 0
        self._lines = lines(file, skips)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while True:
            self.number, line = next(self._lines)
            if line is not None:
                return line + "\n"


def _comma_separated(file: TextFile, skips: Skips) -> Iterator[tuple[int, list[str]]]:
    source = _Numbered(file, skips)
    reader = csv.reader(source, strict=True)
    while True:
        start = source.number + 1
        old = csv.field_size_limit(MAX_LINE_BYTES)  # the module's own limit, 128 KiB, is less than an article
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A new reader goes on with the next line.
            skips.add(f"{file.name}:{start}", f"invalid CSV: {_readable(error)}")
            reader = csv.reader(source, strict=True)
            continue
        finally:
            csv.field_size_limit(old)
        if row:
            yield start, row


def _readable(error: csv.Error) -> str:
    return (
        "a quotation that is never closed, so nothing after it can be used"
        if "unexpected end" in str(error)
        else str(error)
    )


def _count(row: Sequence[object], what: str) -> str:
    return f"{len(row)} {what}" + ("" if len(row) == 1 else "s")


def _json_kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = {bool: "true or false", list: "a list", dict: "an object", str: "a string"}
    return kinds.get(type(value), "a number")
