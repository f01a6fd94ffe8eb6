"""The confusion matrix of a classifier, as ``scores/confusion.csv`` holds it."""

import csv
import io
import math

from luoxia.core.html import escape
from luoxia.core.regular import bytes_of
from luoxia.runs.report_source import RunRecord, number

_MOST_CLASSES = 24  # of a table; more are listed by what is confused most
_MOST_LISTED = 30


def confusion_matrix(record: RunRecord) -> str:
    """A table of true against predicted classes, or of many classes the frequent confusions; "" without a file."""
    classes, rows = _read(record)
    if not classes:
        return ""
    if len(classes) > _MOST_CLASSES:
        return _listed(classes, rows)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in classes)
    body = "".join(_row(index, name, rows[index]) for index, name in enumerate(classes))
    return (
        "<p>Rows are the true classes, columns what the model said, of held-out texts. "
        "The darker a cell, the larger its share of the row.</p>"
        f'<div class="wide"><table class="confusion"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(index: int, name: str, counts: list[int]) -> str:
    total = max(1, sum(counts))
    cells = "".join(
        f'<td class="{"right" if column == index else "wrong"}" style="--share:{round(100 * value / total)}%">'
        f"{value:,}</td>"
        for column, value in enumerate(counts)
    )
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'


def _listed(classes: list[str], rows: list[list[int]]) -> str:
    confusions = sorted(
        ((rows[i][j], i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j and rows[i][j]),
        key=lambda found: (-found[0], found[1:]),
    )
    if not confusions:
        return f"<p>None of the {len(classes)} classes was taken for another.</p>"
    body = "".join(
        f"<tr><td>{escape(classes[i])}</td><td>{escape(classes[j])}</td><td>{value:,}</td></tr>"
        for value, i, j in confusions[:_MOST_LISTED]
    )
    return (
        '<p>What was taken for what most often, of held-out texts.</p><table class="pairs"><thead><tr>'
        '<th scope="col">True</th><th scope="col">Predicted</th><th scope="col">Texts</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _read(record: RunRecord) -> tuple[list[str], list[list[int]]]:
    """Classes and counts; nothing where the file is missing or no square table of whole numbers."""
    try:
        table = bytes_of(record.folder / "scores" / "confusion.csv").decode("utf-8")
        (_, *classes), *lines = csv.reader(io.StringIO(table, newline=""))
    except (OSError, ValueError, csv.Error):
        return [], []
    values = [[number(cell) for cell in line[1:]] for line in lines]
    whole = all(math.isfinite(value) and 0 <= value < 1e12 for row in values for value in row)
    if not whole or [len(row) for row in values] != [len(classes)] * len(classes):
        return [], []
    return classes, [[int(value) for value in row] for row in values]
