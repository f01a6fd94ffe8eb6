"""Rows with named fields: JSON, lines of JSON, and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from luoxia.core.cells import MissingError, text_of
from luoxia.core.errors import UsageError
from luoxia.core.reading import EncodedFile, Skips, lines
from luoxia.core.sentences import nearest
from luoxia.core.skips import Unusable
from luoxia.core.tables import Table
from luoxia.media.text.json_rows import JSON, Record, json_rows

TABLES = frozenset({"csv", "tsv"})
RECORDS = TABLES | JSON
LOOK_AHEAD = 1000  # rows in which a field must appear to be known


def records(file: EncodedFile, skips: Skips) -> Iterator[tuple[int, Record]]:
    """Yield (line number, fields); rows that cannot be read are noted in ``skips``.

    The first row of a table names its columns; see ``luoxia.core.tables`` and ``json_rows`` for what is read.

    Raises:
        UsageError: a table has two columns of one name, or a header that cannot be read.
        NotRowsError: a file is one value of JSON without rows.
    """
    if file.kind not in TABLES:
        yield from json_rows(file, skips)
        return
    for number, row in table(file, skips).records():
        yield number, dict(row)


def table(file: EncodedFile, skips: Skips, width: int | None = None) -> Table:
    """The table in a file; ``width`` are the cells of a row where it has no header.

    Raises:
        UsageError: as ``records``.
    """
    try:
        return Table(lines(file, skips), file.name, skips, tabs=file.kind == "tsv", width=width)
    except Unusable as reason:
        raise UsageError(f"{file.path} {reason}: mend it") from reason


def known_fields(file: EncodedFile) -> list[str]:
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
        ValueError: it is not text. The message names the field and says why.
    """
    if name not in record:
        raise MissingError(f"no field '{name}'")
    try:
        return text_of(record[name])
    except MissingError as reason:
        raise MissingError(f"the field '{name}' is {reason}") from reason
    except ValueError as reason:
        raise ValueError(f"the field '{name}' is {reason}") from reason
