"""From a path to a source of sounds."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from luoxia.core.codepages import decoded
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, many, nearby, printable
from luoxia.core.skips import Skipped, Unusable
from luoxia.media.audio.kinds import KINDS
from luoxia.media.audio.looks import LOOKS, Header
from luoxia.media.audio.pattern import LABEL, Pattern
from luoxia.media.files import Files, FolderFiles, OneFile, is_sample, walk
from luoxia.media.kinds import IMAGES, ending_of
from luoxia.media.labels import NAME, TEXT
from luoxia.media.listing import Item, list_items, named_rows
from luoxia.media.looks import Look
from luoxia.media.zips import ZipFiles

ENOUGH = 1000
"""Files that are looked at to tell what a folder holds."""


def holds_sound(path: Any) -> bool:
    """Whether a path is a sound, or a folder or a zip with more of them than of images."""
    if not isinstance(path, str | os.PathLike):
        return False
    place = expanded(os.fsdecode(path))
    if place.is_dir():
        names = (
            file for folder, files in walk(place, lambda *_: None) for file in map(folder.joinpath, files)
        )
        return _mostly_sounds(names)
    if place.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(place) as archive:
                return _mostly_sounds(map(Path, archive.namelist()), inside=True)
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
            return False
    return place.is_file() and is_sample(place, KINDS)


def _mostly_sounds(files: Any, inside: bool = False) -> bool:
    sounds = images = opened = 0
    for file in files:
        ending = ending_of(file.name)
        named = inside or KINDS.tells(ending)
        sounds += ending in KINDS.read if named else is_sample(file, KINDS)
        images += ending in IMAGES.read
        opened += not named
        if max(sounds + images, opened) >= ENOUGH:
            break
    return bool(sounds) and sounds > images


@dataclass(frozen=True)
class Clip:
    """One sound of a source: its file, what it is, what is known of it."""

    item: Item
    header: Header | str
    digest: str
    fields: Mapping[str, str] = field(default_factory=dict)


class Source:
    """Sounds that are files, in a folder or a zip, or one file."""

    def __init__(self, title: str, files: Files, pattern: str | None = None) -> None:
        """Look at every file once, and decide what the sounds are; raises what ``list_items`` does."""
        form = None if pattern is None else Pattern(pattern)
        looks = LOOKS.at_all(files)
        _leave_out_ours(files, looks)
        listing = list_items(files)
        self.title, self.kind, self.layout = title, files.kind, listing.layout
        self.unread, self.others, self.notes = files.unread, files.others, files.notes
        self.skipped = [*files.skipped, *listing.skipped]
        columns = _columns(files)
        self.clips = [
            Clip(
                _with_text(files, item),
                looks[item.name].header,
                looks[item.name].digest,
                columns.get(item.name, {}),
            )
            for item in listing.items
        ]
        if form is not None:
            self.clips = [
                clip for clip in (self._named(clip, form) for clip in self.clips) if clip is not None
            ]
            if not self.clips:
                raise UsageError(
                    f"pattern={pattern} fits none of the {many(len(listing.items), 'file name')} in {title}, such as"
                    f" {listing.items[0].name}: correct it"
                )
        self.files = files

    def _named(self, clip: Clip, form: Pattern) -> Clip | None:
        """The clip with what its name tells; None where it does not fit, which is noted."""
        fields = form.fields(clip.item.name)
        if fields is None:
            self.skipped.append(Skipped(clip.item.name, f"its name does not fit pattern={form.text}"))
            return None
        label = fields.pop(LABEL, clip.item.label)
        return replace(clip, item=replace(clip.item, label=label), fields={**clip.fields, **fields})

    def open(self, index: int) -> BinaryIO:
        """The file of a clip."""
        return self.files.open(self.clips[index].item.name)

    def close(self) -> None:
        """Let go of the files."""
        self.files.close()

    def usable(self) -> list[Header]:
        """The headers of what can be decoded; ``LuoxiaError`` where there is none."""
        headers = [clip.header for clip in self.clips if isinstance(clip.header, Header)]
        if not headers:
            first = self.clips[0]
            raise LuoxiaError(
                f"none of the {many(len(self.clips), 'sound')} in {self.title} can be used ({first.item.name}:"
                f" {first.header}): give other files"
            )
        return headers

    def digest(self) -> str:
        """Of the content of all clips, of what is known of them, and of what was skipped."""
        everything = hashlib.sha256()
        for clip in self.clips:
            item = clip.item
            row = [
                self.files.called(item.name),
                item.label,
                item.text,
                sorted(clip.fields.items()),
                clip.digest,
            ]
            everything.update(json.dumps(row).encode())
        everything.update(json.dumps([[skip.name, skip.reason] for skip in self.skipped]).encode())
        return everything.hexdigest()


def _leave_out_ours(files: Files, looks: Mapping[str, Look[Header]]) -> None:
    """Take what Luoxia made from the sounds, unless there is nothing else."""
    others = any(look.made is None and isinstance(look.header, Header) for look in looks.values())
    generated = {name: look.made for name, look in looks.items() if look.made is not None}
    if others:
        files.unread.extend(Skipped(name, reason) for name, reason in generated.items())
        files.samples = [name for name in files.samples if name not in generated]


def _columns(files: Files) -> dict[str, dict[str, str]]:
    """What further columns of ``metadata.csv`` or its like say of each file, by its name."""
    columns: dict[str, dict[str, str]] = {}
    for name, row in named_rows(files):
        columns[name] = {
            str(key): str(value)
            for key, value in row.items()
            if key not in (NAME, LABEL, TEXT) and isinstance(value, str | int | float) and str(value).strip()
        }
    return columns


def _with_text(files: Files, item: Item) -> Item:
    """The item, with the text of the .txt beside it where it has none."""
    beside = str(PurePosixPath(item.name).with_suffix(".txt"))
    if item.text is not None or beside not in files.texts:
        return item
    try:
        text, _ = decoded(files.read(beside))
    except (Unusable, UnicodeDecodeError):
        files.notes.append(f"{beside} cannot be read as text")
        return item
    return replace(item, text=" ".join(text.split()) or None)


def open_source(path: str | os.PathLike[str], pattern: str | None = None) -> Source:
    """The sounds at ``path``: a folder, a zip, or one file.

    Raises:
        UsageError: nothing is there.
        LuoxiaError: it cannot be read, or holds no sound.
    """
    path = os.fsdecode(path)
    place, title = expanded(path), printable(path)
    try:
        if place.is_dir():
            files: Files = FolderFiles(place, KINDS)
        elif not place.exists():
            raise UsageError(f"there is nothing at {path}{nearby(place)}")
        else:
            files = ZipFiles(place, KINDS) if zipfile.is_zipfile(place) else OneFile(place, KINDS)
    except OSError as error:
        raise LuoxiaError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions"
        ) from error
    return Source(title, files, pattern)
