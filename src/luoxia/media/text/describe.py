"""What text there is at a path, found by reading it once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luoxia.core.cells import MissingError, is_missing
from luoxia.core.names import expanded
from luoxia.core.reading import EncodedFile, Skips, blocks, kind_of
from luoxia.core.skips import Skipped
from luoxia.core.tables import SEPARATOR_NAMES
from luoxia.media.files import is_sample, walk
from luoxia.media.labels import LABEL
from luoxia.media.text.chat import FIELDS
from luoxia.media.text.chat import PLAIN as PLAIN_CHAT
from luoxia.media.text.files import PLAIN, class_folders, open_files
from luoxia.media.text.json_rows import Record
from luoxia.media.text.records import RECORDS, TABLES, known_fields, records, table
from luoxia.media.text.sources import DEFAULT_TARGET, chat_field, text_in, with_rows

UNTITLED = (
    "no field 'text' and no chat: name the field that holds the text, as target= of gpt or text= of classify-text,"
    " or write an object for each text"
)


@dataclass(frozen=True)
class TextDescription:
    """What ``luoxia data PATH`` shows of text."""

    source: str
    kind: str  # "text"
    files: dict[str, int]  # ending: files
    encodings: dict[str, int]  # name: files
    separators: dict[str, int]  # "comma", "tab", …: tables
    documents: int  # plain files, and rows of the others: where any has a text or a chat, those that do
    characters: int  # of plain files, and of all fields of these rows
    fields: dict[str, int]  # name: rows in which it says something; {} of plain files
    classes: dict[str, int]  # folder: files; {} where folders are no classes
    skipped: list[Skipped]  # the first of them
    skipped_in_all: int
    broken: int  # rows among them that cannot be read
    notes: list[str]  # what a person should know of how they are read

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
        if is_sample(file):
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
    known = {name for file in files if file.kind in RECORDS for name in known_fields(file)}
    target = chat_field(files, None) or (DEFAULT_TARGET if DEFAULT_TARGET in known else None)
    if target is not None:
        files = with_rows(files, target, skips)
    documents = characters = unlabeled = 0
    fields: Counter[str] = Counter()
    separators: Counter[str] = Counter()
    for file in files:
        if file.kind in TABLES:
            separators[SEPARATOR_NAMES[table(file, Skips()).dialect.separator]] += 1
        for number, length, names in _documents(file, target, skips):
            documents += number
            unlabeled += number if file.kind in RECORDS and LABEL not in names else 0
            characters += length
            fields.update(names)
    classes = class_folders([file.name for file in files], str(path))
    rows = all(file.kind in RECORDS for file in files)
    notes = [UNTITLED] if rows and known and target is None else []
    if LABEL in known and unlabeled:
        notes.append(f"rows without a '{LABEL}', which label={LABEL} leaves out: {unlabeled:,}")
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
        notes=notes,
    )


def _documents(file: EncodedFile, target: str | None, skips: Skips) -> Iterator[tuple[int, int, list[str]]]:
    """(1 for a document, 0 for a row that is skipped, its characters, names of fields) of each."""
    if file.kind not in RECORDS:
        yield 1, sum(map(len, blocks(file, skips))), []
        return
    for number, record in records(file, skips):
        names = [name for name, value in record.items() if not is_missing(value)]
        used = _is_used(record, f"{file.name}:{number}", target, skips)
        yield int(used), _characters(record) if used else 0, names


def _is_used(record: Record, name: str, target: str | None, skips: Skips) -> bool:
    """Whether training takes the row; if not, it is noted."""
    if target is None:
        return True
    try:
        text_in(record, target, PLAIN_CHAT if target in FIELDS else None)
    except ValueError as reason:
        skips.add(name, str(reason), "missing" if isinstance(reason, MissingError) else "broken")
        return False
    return True


def _characters(record: Record) -> int:
    """Those of all its texts, also within lists and objects; who speaks in a chat does not count as text."""
    number, left = 0, list(record.values())
    while left:
        value = left.pop()
        if isinstance(value, str):
            number += len(value)
        elif isinstance(value, dict):
            left += [part for key, part in value.items() if key not in ("role", "from")]
        elif isinstance(value, list):
            left += value
    return number
