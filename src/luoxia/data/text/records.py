"""Rows with named fields: JSON, lines of JSON, and tables."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice

from luoxia.config import nearest
from luoxia.data.cells import MissingError, kind_of_value, text_of
from luoxia.data.convert import Unusable
from luoxia.data.reading import Skips, TextFile, lines
from luoxia.data.tables import Table
from luoxia.errors import UsageError

TABLES = frozenset({"csv", "tsv"})
RECORDS = TABLES | {"jsonl", "ndjson"}
LOOK_AHEAD = 1000  # rows in which a field must appear to be known
Record = dict[str, object]


def records(file: TextFile, skips: Skips) -> Iterator[tuple[int, Record]]:
    """Yield (line number, fields); rows that cannot be read are noted in ``skips``.

    The first row of a table names its columns; see ``luoxia.data.tables`` for what is read.

    Raises:
        UsageError: a table has two columns of one name, or a header that cannot be read.
    """
    if file.kind not in TABLES:
        yield from _json_lines(file, skips)
        return
    for number, row in table(file, skips).records():
        yield number, dict(row)


def table(file: TextFile, skips: Skips, width: int | None = None) -> Table:
    """The table in a file; ``width`` are the cells of a row where it has no header.

    Raises:
        UsageError: as ``records``.
    """
    try:
        return Table(lines(file, skips), file.name, skips, tabs=file.kind == "tsv", width=width)
    except Unusable as reason:
        raise UsageError(f"{file.path} {reason}: mend it") from None


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
    """The field as text; see ``text_of``.

    Raises:
        MissingError: it is absent, null, NaN or blank.
        ValueError: it is no text. The message names the field and says why.
    """
    if name not in record:
        raise MissingError(f"no field '{name}'")
    try:
        return text_of(record[name])
    except MissingError as reason:
        raise MissingError(f"the field '{name}' is {reason}") from None
    except ValueError as reason:
        raise ValueError(f"the field '{name}' is {reason}") from None


def _json_lines(file: TextFile, skips: Skips) -> Iterator[tuple[int, Record]]:
    for number, line in lines(file, skips):
        if line is None or not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            skips.add(f"{file.name}:{number}", f"invalid JSON: {error.msg} at column {error.colno}")
        except UsageError as reason:
            skips.add(f"{file.name}:{number}", str(reason))
        except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
            skips.add(f"{file.name}:{number}", "invalid JSON: a number too long or nesting too deep")
        else:
            if isinstance(record, dict):
                yield number, record
            else:
                skips.add(f"{file.name}:{number}", f"not a JSON object but {kind_of_value(record)}")


def _object(pairs: list[tuple[str, object]]) -> Record:
    """An object whose names are in Unicode's normal form C."""
    named = {name if name.isascii() else unicodedata.normalize("NFC", name): value for name, value in pairs}
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), names[0])
        raise UsageError(f"invalid JSON: the field '{twice}' twice")
    return named
