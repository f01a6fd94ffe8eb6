"""What text there is at a path, told by reading it once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luoxia.data.cells import is_missing
from luoxia.data.files import Skipped, is_image, walk
from luoxia.data.reading import Skips, TextFile, blocks, kind_of
from luoxia.data.tables import SEPARATOR_NAMES
from luoxia.data.text.records import RECORDS, TABLES, records, table
from luoxia.data.text.sources import PLAIN, class_folders, open_files
from luoxia.names import expanded


@dataclass(frozen=True)
class TextDescription:
    """What ``luoxia data PATH`` shows of text."""

    source: str
    kind: str  # "text"
    files: dict[str, int]  # ending: files
    encodings: dict[str, int]  # name: files
    separators: dict[str, int]  # "comma", "tab", …: tables
    documents: int  # plain files, and rows of the others
    characters: int  # of plain files, and of all fields
    fields: dict[str, int]  # name: rows in which it says something; {} of plain files
    classes: dict[str, int]  # folder: files; {} where folders are no classes
    skipped: list[Skipped]  # the first of them
    skipped_in_all: int
    broken: int  # rows among them that cannot be read

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def holds_text(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file of text, by its name, or a folder with some and without any image."""
    place = expanded(path)
    if not place.is_dir():
        return place.is_file() and kind_of(place) in PLAIN | RECORDS
    text = False
    for file in _files(place):
        if is_image(file):
            return False
        text = text or kind_of(file) in PLAIN | RECORDS
    return text


def _files(folder: Path) -> Iterator[Path]:
    for place, names in walk(folder, lambda *_: None):
        yield from (place / name for name in names)


def describe_text(path: str | os.PathLike[str]) -> TextDescription:
    """Describe the text at ``path``, whatever it is going to be used for.

    Raises:
        UsageError, LuoxiaError: as ``read_texts``.
    """
    skips = Skips()
    files = open_files(expanded(path), skips)
    documents = characters = 0
    fields: Counter[str] = Counter()
    separators: Counter[str] = Counter()
    for file in files:
        if file.kind in TABLES:
            separators[SEPARATOR_NAMES[table(file, Skips()).dialect.separator]] += 1
        for length, names in _documents(file, skips):
            documents += 1
            characters += length
            fields.update(names)
    classes = class_folders([file.name for file in files], str(path))
    return TextDescription(
        source=str(path),
        kind="text",
        files=dict(Counter(file.kind for file in files).most_common()),
        encodings=dict(Counter(file.encoding.name for file in files).most_common()),
        separators=dict(separators.most_common()),
        documents=documents,
        characters=characters,
        fields=dict(fields),
        classes=dict(sorted(Counter(classes.values()).items())),
        skipped=skips.listed,
        skipped_in_all=skips.count,
        broken=skips.broken,
    )


def _documents(file: TextFile, skips: Skips) -> Iterator[tuple[int, list[str]]]:
    """(characters, names of fields) of each document."""
    if file.kind not in RECORDS:
        yield sum(map(len, blocks(file, skips))), []
        return
    for _, record in records(file, skips):
        names = [name for name, value in record.items() if not is_missing(value)]
        yield sum(len(value) for value in record.values() if isinstance(value, str)), names
