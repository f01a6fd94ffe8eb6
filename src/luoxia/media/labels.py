"""The files that name samples and their classes: metadata.csv, .tsv and .jsonl, and NVlabs' dataset.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from luoxia.core.cells import MissingError, label_of, one_name_a_number
from luoxia.core.codepages import decoded
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import readable
from luoxia.core.skips import Unusable
from luoxia.core.tables import read_table
from luoxia.media.files import Files

NAME, LABEL, TEXT, CAPTION = "file_name", "label", "text", "caption"


@dataclass(frozen=True)
class Row:
    """One sample as it is named in such a file; ``problem`` where the row itself cannot be used."""

    number: int
    name: str
    label: str | None = None
    text: str | None = None
    problem: str | None = None
    caption: bool = False
    """Whether it has a caption, too, which ``luoxia.media.image.captions`` reads."""


@dataclass(frozen=True)
class Labels:
    """The rows, and whether they have labels."""

    rows: list[Row]
    labeled: bool


def read_labels(files: Files, name: str) -> Labels:
    """The rows of the label file ``name``.

    Raises:
        UsageError: it is of a kind that is not read, or has no names of files.
        LuoxiaError: it is damaged.
    """
    if PurePosixPath(name).name.lower() == "dataset.json":
        return _from_nvlabs(_text_of(files, name), f"{name} in {files.path}")
    rows = read_rows(files, name)
    found = _labels(rows)
    columns = dict.fromkeys(column for _, row in rows if isinstance(row, dict) for column in row)
    if not found.labeled and columns.keys() - {NAME, TEXT, CAPTION}:
        files.notes.append(
            f"{name} gives no classes, for it has no column {LABEL} (it has {readable(', '.join(columns))}): if one of"
            f" these holds the classes, call it {LABEL}"
        )
    return found


def read_rows(files: Files, name: str) -> list[tuple[int, Any]]:
    """(number, cells by column) of each row of a metadata.csv, .tsv or .jsonl; no mapping where one cannot be read.

    Raises what ``read_labels`` does.
    """
    where = f"{name} in {files.path}"
    kind = PurePosixPath(name).name.lower()
    if kind == "metadata.parquet":
        raise UsageError(f"{where} is not read: save it as metadata.csv with the columns {NAME} and {LABEL}")
    text = _text_of(files, name)
    try:
        return list(_json_rows(text) if kind == "metadata.jsonl" else _table_rows(text, name, where))
    except Unusable as error:
        raise _unreadable(where, error) from error


def _text_of(files: Files, name: str) -> str:
    try:
        text, page = decoded(files.read(name))
    except (Unusable, UnicodeDecodeError) as error:
        raise _unreadable(f"{name} in {files.path}", error) from error
    told = f"{name} is not UTF-8: read as {page}"
    if page not in ("utf-8", "utf-8-sig", "utf-16") and told not in files.notes:
        files.notes.append(told)
    return text


def _unreadable(where: str, error: Exception) -> LuoxiaError:
    return LuoxiaError(f"{where} cannot be read ({error}): save it again as UTF-8 CSV")


def _labels(rows: list[tuple[int, Any]]) -> Labels:
    labeled = any(isinstance(row, dict) and LABEL in row for _, row in rows)
    found = [_row(number, row) for number, row in rows]
    shorter = one_name_a_number(row.label for row in found if row.label is not None)
    return Labels([replace(row, label=shorter.get(row.label or "", row.label)) for row in found], labeled)


def _row(number: int, row: Any) -> Row:
    if not isinstance(row, Mapping):
        return Row(number, "", problem=row or "no JSON object")
    name, text = row.get(NAME), row.get(TEXT)
    if not isinstance(name, str) or not name.strip():
        return Row(number, "", problem=f"no {NAME}")
    try:
        label = _label(row.get(LABEL))
    except ValueError as reason:
        return Row(number, name.strip(), problem=f"its label is {reason}")
    return Row(
        number, name.strip(), label, text if isinstance(text, str) else None, caption=bool(row.get(CAPTION))
    )


def _label(value: Any) -> str | None:
    try:
        return label_of(value)
    except MissingError:
        return None


def _json_rows(text: str) -> Iterator[tuple[int, Any]]:
    """(line, object) of each line; None where it is no JSON."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _table_rows(text: str, name: str, where: str) -> Iterable[tuple[int, Any]]:
    """(row, cells by column), the header being row 1; and what is wrong with those that cannot be read."""
    table = read_table(text.encode(), name)
    columns = [_column(column) for column in table.columns]
    if NAME not in columns:
        raise UsageError(
            f"{where} has no column {NAME} (it has {', '.join(columns) or 'none'}): name the column with the names of"
            " the files so"
        )
    rows: list[Any] = [{_column(column): cell for column, cell in row.items()} for _, row in table.rows]
    broken = [(int(skip.name.rpartition(":")[2]), skip.reason) for skip in table.skips.listed]
    return [*enumerate(rows, 2), *broken]


def _column(name: str) -> str:
    return name.lower() if name.lower() in (NAME, LABEL, TEXT, CAPTION) else name


def _from_nvlabs(text: str, where: str) -> Labels:
    """``{"labels": [["00000/img00000000.png", 6], …]}``, or null where there are none."""
    try:
        labels = json.loads(text)["labels"]
        pairs = list(labels.items() if isinstance(labels, dict) else labels or [])
        rows = [Row(number, *_pair(pair)) for number, pair in enumerate(pairs, 1)]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise UsageError(
            f'{where} is not as NVlabs writes it, {{"labels": [[FILE_NAME, CLASS_NUMBER], …]}} ({error}): write it so,'
            " or rename it"
        ) from error
    return Labels(rows, bool(rows))


def _pair(pair: Any) -> tuple[str, str | None]:
    name, label = pair
    if not isinstance(name, str):
        raise TypeError("a file name must be text")
    return name, _label(label)


def class_names(labels: Sequence[str | None]) -> list[str]:
    """Return the sorted distinct names, by value where all are numbers; [] when unlabeled."""
    names = {label for label in labels if label is not None}
    numeric = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name) if numeric else 0, name))
