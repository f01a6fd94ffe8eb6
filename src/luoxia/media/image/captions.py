"""What is said of images: captions, keywords, a category, and other fields such as a style.

They stand in ``.txt`` files, each beside the image of its stem, a caption a line; and in ``metadata.csv``, ``.tsv`` or
``.jsonl`` beside ``file_name``: columns ``text`` and ``caption`` (in jsonl a list, too; several rows of one image are
several captions), ``keywords``, ``category``, and whatever else has few values, such as ``style``.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from luoxia.core.codepages import decoded
from luoxia.core.names import expanded
from luoxia.core.skips import Unusable
from luoxia.media.files import Files, FolderFiles
from luoxia.media.image.images import ImageDataset
from luoxia.media.image.sources import FileSource, Source
from luoxia.media.labels import CAPTION, LABEL, NAME, TEXT
from luoxia.media.listing import named_rows
from luoxia.media.zips import ZipFiles

KEYWORDS, CATEGORY = "keywords", "category"
LONGEST = 1000
"""Characters of a caption that are kept."""
MOST = 100
"""Captions of one image that are kept."""
LARGEST = 2**20
"""Bytes of a ``.txt`` file that is read."""
VALUES = 64
"""Different values of a field at most; a column with more says something of its own about each image."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
Texts = tuple[str, ...]


@dataclass(frozen=True)
class Captions:
    """What is said of each of n images.

    ``fields`` has a value, or "" where there is none, for each image: ``category`` and other columns of few values.
    ``fingerprint`` is a digest of all, "" where nothing is said.
    """

    texts: tuple[Texts, ...] = field(repr=False)
    keywords: tuple[Texts, ...] = field(repr=False)
    fields: Mapping[str, Texts] = field(repr=False)
    notes: Texts = ()
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def captioned(self) -> int:
        """Images with a caption."""
        return sum(map(bool, self.texts))

    def count(self) -> int:
        """Captions in all."""
        return sum(map(len, self.texts))


@dataclass(frozen=True)
class CaptionedImages(ImageDataset):
    """Images, and what is said of them; the fingerprint stands for both."""

    captions: Captions = field(kw_only=True)


def captioned(dataset: ImageDataset, path: str | None) -> CaptionedImages:
    """The images of ``open_images(path)`` with what is said of them there.

    >>> import luoxia
    >>> digits = captioned(luoxia.open_images(), None)
    >>> digits.captions.captioned, digits.captions.notes
    (0, ())
    """
    captions = open_captions(path, dataset.names)
    fingerprint = dataset.fingerprint
    if captions.fingerprint:
        fingerprint = hashlib.sha256(f"{fingerprint}/{captions.fingerprint}".encode()).hexdigest()[:32]
    values = {**vars(dataset), "fingerprint": fingerprint, "notes": (*dataset.notes, *captions.notes)}
    return CaptionedImages(**values, captions=captions)


def open_captions(path: str | None, names: Sequence[str]) -> Captions:
    """What is said at ``path``, the source of images, of those with these ``names``.

    Raises:
        LuoxiaError: a table of captions cannot be read.
    """
    place = None if path is None else expanded(path)
    if place is not None and place.is_dir():
        files: Files = FolderFiles(place)
    elif place is not None and place.suffix.lower() != ".npz" and zipfile.is_zipfile(place):
        files = ZipFiles(place)
    else:  # arrays, of which nothing is said
        return _Reader(names).captions()
    with closing(files):
        return read_captions(files, names)


def captions_of(source: Source, names: Sequence[str]) -> Captions:
    """What an open source says of those of its images with these ``names``."""
    return read_captions(source.files, names) if isinstance(source, FileSource) else _Reader(names).captions()


def read_captions(files: Files, names: Sequence[str]) -> Captions:
    """What ``files`` say of the images with these ``names``."""
    reader = _Reader(names)
    for name, row in named_rows(files):
        reader.add_row(name, row)
    reader.add_texts(files)
    return reader.captions()


class _Reader:
    """Gathers what is said of each image, and what is wrong with it."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.texts: dict[str, dict[str, None]] = {name: {} for name in names}
        self.keywords: dict[str, dict[str, None]] = {name: {} for name in names}
        self.columns: dict[str, dict[str, str]] = {}
        self.wrong = Counter[str]()
        self.first: dict[str, str] = {}

    def add_row(self, name: str, row: Mapping[str, Any]) -> None:
        """A row of a table that names an image."""
        if name not in self.texts:
            return
        for column, value in row.items():
            kind = column.lower()
            if kind in (TEXT, CAPTION, "texts", "captions"):
                self._say(name, value if isinstance(value, list) else [value])
            elif kind == KEYWORDS:
                listed = value if isinstance(value, list) else re.split("[,;|\n]", str(value or ""))
                self.keywords[name].update(dict.fromkeys(filter(None, map(_clean, listed))))
            elif kind not in (NAME, LABEL) and isinstance(value, str | int) and not isinstance(value, bool):
                self.columns.setdefault(column, {}).setdefault(name, _clean(value))

    def add_texts(self, files: Files) -> None:
        """The ``.txt`` files, each said of all images of its stem."""
        owners: dict[str, list[str]] = {}
        for name in self.names:
            owners.setdefault(_stem(name), []).append(name)
        for text in files.texts:
            images = owners.get(_stem(text), [])
            if not images:
                self._note("captions belong to no image", text)
                continue
            try:
                if files.size(text) > LARGEST:
                    raise Unusable("larger than 1 MiB")
                lines = decoded(files.read(text))[0].splitlines()
            except (Unusable, UnicodeDecodeError) as error:
                self._note(f"files of captions cannot be read ({error})", text)
                continue
            for name in images:
                self._say(name, lines or [""], text)

    def captions(self) -> Captions:
        """All that was gathered, in the order of the images."""
        texts = tuple(tuple(self.texts[name]) for name in self.names)
        keywords = tuple(tuple(self.keywords[name]) for name in self.names)
        fields = {
            column: tuple(values.get(name, "") for name in self.names)
            for column, values in sorted(self.columns.items())
            if column.lower() == CATEGORY or _is_field(values.values())
        }
        notes = tuple(
            f"{count:,} {what}, such as {self.first[what]}" for what, count in sorted(self.wrong.items())
        )
        record = json.dumps([texts, keywords, fields])
        anything = any(texts) or any(keywords) or fields
        digest = hashlib.sha256(record.encode()).hexdigest()[:32] if anything else ""
        return Captions(texts, keywords, fields, notes, digest)

    def _say(self, name: str, said: Iterable[Any], where: str = "") -> None:
        for raw in said:
            if raw is not None and not isinstance(raw, str):
                continue
            text = _clean(raw or "")
            if not text:
                self._note("captions are empty", where or f"that of {name}")
                continue
            if _CONTROL.search((raw or "").strip("\r\n\t ")):
                self._note("captions hold control characters, read as spaces", where or f"that of {name}")
            if len(text) > LONGEST:
                self._note(f"captions lose what is beyond {LONGEST:,} characters", where or f"that of {name}")
                text = text[:LONGEST]
            if len(self.texts[name]) < MOST:
                self.texts[name][text] = None

    def _note(self, what: str, where: str) -> None:
        self.wrong[what] += 1
        self.first.setdefault(what, where)


def _clean(value: Any) -> str:
    """A text in one line, without control characters."""
    return " ".join(_CONTROL.sub(" ", str(value)).split())


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")).casefold()


def _is_field(values: Iterable[str]) -> bool:
    """Whether a column groups its images: each of at least two values, at most ``VALUES``, comes twice on average."""
    counts = Counter(value for value in values if value)
    return 2 <= len(counts) <= min(VALUES, counts.total() // 2)
