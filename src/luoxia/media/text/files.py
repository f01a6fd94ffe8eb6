"""Which files of text lie at a path: by their endings, without what Luoxia made, and in which folders."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import nearby
from luoxia.core.reading import EncodedFile, Skips, kind_of, open_text
from luoxia.core.skips import Unusable
from luoxia.formats.carrier import label_in
from luoxia.formats.registry import is_ours
from luoxia.formats.sidecar import SUFFIX
from luoxia.media.files import walk
from luoxia.media.listing import SPLITS
from luoxia.media.ours import SAMPLE
from luoxia.media.text.json_rows import JSON, NotRowsError, json_rows
from luoxia.media.text.records import RECORDS
from luoxia.provenance.label import InvalidLabelError, Label

PLAIN = frozenset({"txt", "md", "text", "markdown"})
"""Endings of files that are one text."""


def open_files(place: Path, skips: Skips) -> list[EncodedFile]:
    """The text files at ``place``, by name; those that cannot be used are noted.

    Raises:
        UsageError: nothing is there, or the one file is not text.
        LuoxiaError: it cannot be read, or no file in the folder can be used.
    """
    try:
        place.stat()
        if not place.is_dir():
            return [_open_file(place, place.name)]
        paths = _text_paths(place, skips)
    except FileNotFoundError as error:
        raise UsageError(f"there is nothing at {place}{nearby(place)}") from error
    except NotRowsError as reason:
        raise UsageError(f"{place} {reason}") from reason
    except Unusable as reason:
        raise UsageError(f"{place} {reason}: give a text file, or a folder of them") from reason
    except OSError as error:
        raise LuoxiaError(f"{place} cannot be read ({error.strerror}): check its permissions") from error
    files = []
    for path in paths:
        name = path.relative_to(place).as_posix()
        try:
            files.append(_open_file(path, name))
        except Unusable as reason:
            skips.add(name, str(reason), "file")
        except OSError as error:
            skips.add(name, f"cannot be read: {error.strerror}", "file")
    if not files:
        why = (
            f"; {skips.listed[0].name} {skips.listed[0].reason}"
            if skips.listed
            else ", no file ending in .txt, .md, .json, .jsonl, .csv or .tsv, perhaps with .gz"
        )
        raise LuoxiaError(f"{place} has no text{why}: give a folder of text files")
    return _without_made(files, skips)


def class_folders(names: Sequence[str], where: str) -> dict[str, str]:
    """File name → the folder that is its class; {} unless at least two folders hold all files.

    Raises:
        UsageError: the folders are splits such as ``train`` and ``test``.
    """
    parents = [PurePosixPath(name).parent for name in names]
    # A single folder that holds everything is looked through.
    shared = len(PurePosixPath(posixpath.commonpath(parents)).parts)
    if any(len(parent.parts) <= shared for parent in parents):
        return {}
    classes = {name: parent.parts[shared] for name, parent in zip(names, parents, strict=True)}
    if SPLITS.issuperset(name.lower() for name in classes.values()):
        series = " and ".join(sorted(set(classes.values())))
        raise UsageError(f"{where} holds the splits {series}: give one of them as the data")
    return classes


def _open_file(path: Path, name: str) -> EncodedFile:
    file = open_text(path, name)
    if file.kind in JSON:
        next(json_rows(file, Skips()), None)  # NotRowsError where there are none
    return file


def _without_made(files: list[EncodedFile], skips: Skips) -> list[EncodedFile]:
    """Without what ``luoxia sample`` wrote, unless it is all there is: rows and files with labels."""
    labels = {file.name: label for file in files if file.kind in JSON and (label := _label_of(file))}
    texts = {name.removesuffix(SUFFIX): label.sha256 for name, label in labels.items()}
    made = [
        file
        for file in files
        if file.name in labels
        or texts.get(file.name) == file.digest
        or (file.kind in PLAIN and is_ours(file.path))  # by a label inside
    ]
    if len(made) == len(files):
        return files
    for file in made:
        skips.add(file.name, SAMPLE, "file")
    return [file for file in files if file not in made]


def _label_of(file: EncodedFile) -> Label | None:
    """The label of the first row of a file, None unless all its rows have one: what a person added is theirs."""
    first: Label | None = None
    try:
        for _, row in json_rows(file, Skips()):
            if (label := label_in(row)) is None:
                return None
            first = first or label
    except InvalidLabelError:
        return None
    return first


def _text_paths(folder: Path, skips: Skips) -> list[Path]:
    """The files of text below a folder, links followed; what Luoxia made and what cannot be listed is noted."""

    def made(place: Path, reason: str) -> None:
        skips.add(place.relative_to(folder).as_posix(), reason, "file")

    def failed(error: OSError) -> None:
        place = Path(error.filename)
        if place == folder:
            raise error
        skips.add(place.relative_to(folder).as_posix(), f"cannot be listed: {error.strerror}", "file")

    found = [place / name for place, names in walk(folder, made, failed) for name in names]
    return sorted(path for path in found if kind_of(path) in PLAIN | RECORDS)
