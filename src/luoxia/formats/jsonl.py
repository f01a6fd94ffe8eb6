"""JSON lines: each row holds the label."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from luoxia.core.files import to_json, write_file
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import KEY, MAX_BYTES, label_in
from luoxia.provenance.label import InvalidLabelError, Label

MAX_LINE = 4 * MAX_BYTES
"""Bytes of a row with its label that are read at most."""


def write(rows: Iterable[Mapping[str, Any]], label: Label, path: Path) -> Path:
    """Write rows, row i with i as its label's ``index``. ``sha256`` in each label is that of all rows without it."""
    labeled = [
        {**row, KEY: replace(label, index=index, sha256="").as_dict()} for index, row in enumerate(rows)
    ]
    digest = hashlib.sha256()
    for row in labeled:
        digest.update(to_json(row).encode())
    for row in labeled:
        row[KEY]["sha256"] = digest.hexdigest()
    return write_file(path, "".join(to_json(row) + "\n" for row in labeled))


def read_label(path: Path) -> Label | None:
    """The label that the rows share; None unless each row has one: what a person added is theirs."""
    first: Label | None = None
    try:
        for row in _rows(path):
            if (label := label_in(row)) is None:
                return None
            first = first or replace(label, index=None)
            if label.sha256 != first.sha256:
                raise InvalidLabelError("the rows have labels of different files")
    except (ValueError, RecursionError):
        if first is not None:
            raise InvalidLabelError("a row is not JSON") from None
    return first


def is_intact(path: Path, label: Label) -> bool:
    """Whether the rows are all that were written, as they were."""
    digest, claimed = hashlib.sha256(), set()
    for row in _rows(path):
        own = row[KEY] if isinstance(row.get(KEY), dict) else row
        claimed.add(own.pop("sha256", ""))
        digest.update(to_json(row).encode())
    return claimed == {digest.hexdigest()}


def _rows(path: Path) -> Iterator[Any]:
    with open_regular(path) as file:
        for number in range(1, 2**63):
            line = file.readline(MAX_LINE + 1)
            if not line:
                return
            if len(line) > MAX_LINE:
                raise InvalidLabelError(f"line {number} is longer than {MAX_LINE // 2**20} MiB")
            yield json.loads(line)
