"""The texts in a file that a model is asked about: its lines, or a field of its rows, none left out."""

from __future__ import annotations

from pathlib import Path

from luoxia.core.errors import UsageError
from luoxia.core.reading import Skips, kind_of, lines
from luoxia.media.text.files import open_files
from luoxia.media.text.records import RECORDS
from luoxia.media.text.sources import read_texts


def texts_in(path: Path, field: str | None, *, blank: bool = False) -> list[str]:
    """A text a line, or a row of JSON or a table: in ``field``, or in "text".

    Raises:
        UsageError: a line or a row cannot be read or, unless ``blank`` lines are allowed, is empty; it is named.
        LuoxiaError: the file cannot be read, or has no text.
    """
    if kind_of(path) in RECORDS:
        source = read_texts(path, target=field, allow_skipped=1)  # what is skipped is named below
        texts = [document.text for document in source.documents()]
        if source.skips.count:
            first = source.skips.listed[0]
            raise UsageError(
                f"{path} has a row without a text ({first.name}: {first.reason}): mend it or leave it out"
            )
        return texts
    if field is not None:
        raise UsageError(f"{path} has lines and no field '{field}': give rows, such as .jsonl or .csv")
    skips = Skips()
    found = [line or "" for file in open_files(path, skips) for _, line in lines(file, skips)]
    if skips.listed:
        raise UsageError(
            f"a line of {path} cannot be read ({skips.listed[0].name}: {skips.listed[0].reason}): mend it"
        )
    empty = next((number for number, line in enumerate(found, 1) if not line.strip()), None)
    if not found or (empty is not None and not blank):
        raise UsageError(f"line {empty or 1} of {path} is empty: give every line a text, or leave it out")
    return found
