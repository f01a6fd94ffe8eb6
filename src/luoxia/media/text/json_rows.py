"""Rows in JSON: an object a line, or a file that is one value."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from luoxia.core.cells import kind_of_value
from luoxia.core.reading import EncodedFile, Skips, blocks, lines
from luoxia.core.skips import Unusable
from luoxia.media.listing import SPLITS

JSON = frozenset({"json", "jsonl", "ndjson"})
MAX_CHARACTERS = 2**29  # of a file that is one value, which must be in memory
LISTS = frozenset({"data", "rows", "records", "items", "examples", "instances"}) | SPLITS
"""What an object calls its list of rows."""
Record = dict[str, object]


class NotRowsError(Unusable):
    """A file of JSON is not one of rows."""


def json_rows(file: EncodedFile, skips: Skips) -> Iterator[tuple[int, Record]]:
    """Yield (number of the line, or of the row in a file that is one value, fields); others are noted in ``skips``.

    One value is a list of objects; an object with such a list, called as in ``LISTS``; an object of columns, as pandas
    writes it; or an object, which is a row. Lines may stand in a ``.json``, and a list in a ``.jsonl``.

    Raises:
        NotRowsError: it is one value, and damaged or something else.
    """
    found = enumerate(_rows_of(_value(file, skips)), 1) if is_one_value(file) else _parsed(file, skips)
    for number, record in found:
        if isinstance(record, dict):
            yield number, record
        else:
            skips.add(f"{file.name}:{number}", f"not a JSON object but {kind_of_value(record)}")


def is_one_value(file: EncodedFile) -> bool:
    """Whether a file is one JSON value rather than one per line."""
    head = list(islice((line for _, line in lines(file, Skips()) if line and line.strip()), 2))
    if not head:
        return False
    try:
        first = json.loads(head[0])
    except (ValueError, RecursionError):
        return file.kind == "json" or head[0].strip() == "["
    return len(head) == 1 and (file.kind == "json" or isinstance(first, list))


def _parsed(file: EncodedFile, skips: Skips) -> Iterator[tuple[int, object]]:
    for number, line in lines(file, skips):
        if line is None or not line.strip():
            continue
        try:
            yield number, json.loads(line, object_pairs_hook=_object)
        except Unusable as reason:
            skips.add(f"{file.name}:{number}", str(reason))
        except json.JSONDecodeError as error:
            skips.add(f"{file.name}:{number}", f"invalid JSON: {_fault(error)} at column {error.colno}")
        except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
            skips.add(f"{file.name}:{number}", "invalid JSON: a number too long or nesting too deep")


def _value(file: EncodedFile, skips: Skips) -> Any:
    parts, size = [], 0
    for block in blocks(file, skips):
        parts.append(block)
        size += len(block)
        if size > MAX_CHARACTERS:
            raise NotRowsError(
                f"is one value of more than {MAX_CHARACTERS / 2**20:g} million characters: write an object a line, "
                "as .jsonl"
            )
    try:
        return json.loads("".join(parts), object_pairs_hook=_object)
    except Unusable as reason:
        raise NotRowsError(f"cannot be read: {reason}") from reason
    except json.JSONDecodeError as error:
        raise NotRowsError(
            f"is invalid JSON: {_fault(error)} in line {error.lineno}, column {error.colno}; mend it there, or write "
            "an object a line, as .jsonl"
        ) from error
    except (ValueError, RecursionError) as error:
        raise NotRowsError("is invalid JSON: a number too long or nesting too deep") from error


def _fault(error: json.JSONDecodeError) -> str:
    """What is wrong; some of json's own sentences end in "at"."""
    return error.msg.removesuffix(" at")


def _rows_of(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise NotRowsError(f"holds no rows but {kind_of_value(value)}: write a list of objects")
    lists = [name for name, rows in value.items() if name.lower() in LISTS and _are_rows(rows)]
    if len(lists) > 1:
        raise NotRowsError(
            f"holds {len(lists)} lists of rows, {', '.join(lists)}: write each to a file of its own"
        )
    if lists:
        return list(value[lists[0]])
    return _from_columns(value) or [value]


def _are_rows(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)


def _from_columns(value: Mapping[str, Any]) -> list[Record]:
    """Rows of an object of columns: {"text": [..]}, {"text": {"0": ..}}, {"columns": [..], "data": [[..]]}; else []."""
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, names), row, strict=False)) for row in data if len(row) == len(names)]
    columns = [list(cells.values()) if isinstance(cells, dict) else cells for cells in value.values()]
    whole = all(isinstance(cells, list) and len(cells) == len(columns[0]) for cells in columns)
    if not columns or not whole or any(isinstance(cell, dict | list) for cells in columns for cell in cells):
        return []
    return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]


def _object(pairs: list[tuple[str, object]]) -> Record:
    """An object whose names are in Unicode's normal form C."""
    named = {name if name.isascii() else unicodedata.normalize("NFC", name): value for name, value in pairs}
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), names[0])
        raise Unusable(f"the field '{twice}' stands twice")
    return named
