"""Tables of comma-separated values: the label lies beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from luoxia.formats import sidecar
from luoxia.provenance.label import Label

read_label = sidecar.read_label
is_intact = sidecar.is_intact


def write(rows: Iterable[Sequence[object]], label: Label, path: Path) -> Path:
    """Write rows, the first of them the names of the columns."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    return sidecar.write(table.getvalue().encode("utf-8", "backslashreplace"), label, path)
