"""Where the files of samples lie: a folder or a zip, each as a list of names and a bounded read.

Names are relative, with ``/`` between folders, and printable, whatever the archive or the disk calls a file.
"""

import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from luoxia.core.errors import LuoxiaError
from luoxia.core.names import inner, printable
from luoxia.core.regular import open_regular
from luoxia.core.skips import Skipped, Unusable
from luoxia.media.kinds import HEAD_BYTES, IMAGES, Kinds, ending_of
from luoxia.media.ours import made_on_disk

LABEL_FILES = ("metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet", "dataset.json")
"""Names of the files that say which class a sample has."""
_STEMS = (
    "metadata dataset label labels annotation annotations _annotations _annotations.coco caption captions class "
    "classes _classes list_attr_celeba train"
)
_ENDINGS = "csv tsv txt json jsonl xml xls xlsx parquet"
LABEL_LIKE = frozenset(f"{stem}.{ending}" for stem in _STEMS.split() for ending in _ENDINGS.split())
"""Names that other tools give to such files, which are not read."""

MAX_FILE_BYTES = 256 * 2**20  # of one file, unpacked

_SYSTEM_FOLDERS = "__macosx @eadir #recycle #snapshot @recycle @recycle.bin $recycle.bin lost+found"
SYSTEM_FOLDERS = frozenset({*_SYSTEM_FOLDERS.split(), "system volume information"})
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"})


BACK = "a link to a folder that it lies in, which is not followed"


Stamp = tuple[int, int, int, int]
"""Size, times of the last change of the content and of the file's entry in nanoseconds, number of the file."""


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file on the disk, None where it cannot be had."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def is_sample(file: Path, kinds: Kinds = IMAGES) -> bool:
    """Say whether a file is read as one of ``kinds``: by its ending, or by its first bytes where that tells nothing."""
    ending = ending_of(file.name)
    if not kinds.tells(ending):
        try:
            ending = kinds.by_head(_content(file, HEAD_BYTES))
        except Unusable:
            return False
    return ending in kinds.read


class Files(Protocol):
    """Named files, with ``/`` between folders."""

    kind: str
    path: Path
    kinds: Kinds  # which files are samples
    samples: list[str]  # sorted names of what is one by its ending, or by its first bytes
    labels: list[str]  # names of the files that are called as in LABEL_FILES
    texts: list[str]  # sorted names of .txt files, each of which may tell of the sample beside it
    others: Counter[str]  # ending: files that are no samples
    skipped: list[Skipped]  # what may hold samples and cannot be looked into
    unread: list[Skipped]  # samples of formats that are not read, and what Luoxia made itself
    outside: set[str]  # samples whose own names point out of the source
    notes: list[str]  # what a person should know of how the source was read

    def read(self, name: str) -> bytes:
        """Return the content of a file; raise Unusable where it cannot be read or is too large."""

    def open(self, name: str) -> BinaryIO:
        """Return a file to read and seek in, of any size on a disk; raise Unusable where it cannot be read."""

    def called(self, name: str) -> str:
        """Return what the disk or the archive calls a file."""

    def size(self, name: str) -> int:
        """Return the stated bytes of a file, at most ``MAX_FILE_BYTES``; 0 if unknown."""

    def stamp(self, name: str) -> Stamp | None:
        """Return what changes when a file does, None if unknown."""

    def close(self) -> None:
        """Let go of the source: nothing is read any more."""


def is_hidden(name: str) -> bool:
    """Say whether a file is of a system's making, such as ``.hidden`` or ``Thumbs.db``, or within such a folder."""
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part.lower() in SYSTEM_FOLDERS | SYSTEM_FILES for part in parts)


def walk(
    top: Path, skip: Callable[[Path, str], None], failed: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Each folder from ``top`` on with the names of its files, but for what is hidden; links are followed, each
    folder once.

    What Luoxia made, a run or a model, is not entered, and given to ``skip`` with the reason; ``top`` itself always is.
    Nor is a link to a folder that it lies in, which would lead to all that lies beside the data.
    ``failed`` is called where a folder cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(top, onerror=failed, followlinks=True):
        place = Path(folder)
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back to where we were
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if place != top and (reason := made_on_disk(place, names)):
            skip(place, reason)
            subfolders.clear()
            continue
        inner_folders = sorted(name for name in subfolders if not is_hidden(name))
        back = [name for name in inner_folders if _leads_back(place / name, top)]
        for name in back:
            skip(place / name, BACK)
        subfolders[:] = [name for name in inner_folders if name not in back]
        yield place, [name for name in names if not is_hidden(name)]


def _leads_back(folder: Path, top: Path) -> bool:
    """Whether it is a link to a folder that it lies in, or that ``top`` does."""
    if not folder.is_symlink():
        return False
    target = os.path.realpath(folder)
    return any(Path(os.path.realpath(place)).is_relative_to(target) for place in (folder.parent, top))


class BaseFiles:
    """What folders, zips and single files have in common: the lists, and which file goes into which."""

    def __init__(self, path: Path, kinds: Kinds = IMAGES):
        self.path = path
        self.kinds = kinds
        self.samples: list[str] = []
        self.labels: list[str] = []
        self.texts: list[str] = []
        self.others: Counter[str] = Counter()
        self.skipped: list[Skipped] = []
        self.unread: list[Skipped] = []
        self.outside: set[str] = set()
        self.notes: list[str] = []
        self._called: dict[str, str] = {}
        self._numbers: Counter[str] = Counter()

    def called(self, name: str) -> str:
        """Return what the disk or the archive calls a file."""
        return self._called.get(name, name)

    def size(self, name: str) -> int:
        """Return the stated bytes of a file, at most ``MAX_FILE_BYTES``."""
        stamp = self.stamp(name)
        return 0 if stamp is None else min(stamp[0], MAX_FILE_BYTES)

    def stamp(self, name: str) -> Stamp | None:
        """Return what changes when a file does."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return the content of a file; raise Unusable where it cannot be read or is too large."""
        raise NotImplementedError

    def open(self, name: str) -> BinaryIO:
        """Return a file to read and seek in; raise Unusable where it cannot be read, or an archive's is too large."""
        return io.BytesIO(self.read(name))

    def close(self) -> None:
        """Let go of the source."""

    def _head(self, called: str) -> bytes:
        """The first bytes of a file; raises Unusable where it cannot be read."""
        raise NotImplementedError

    def _add(self, called: str, name: str, outside: bool = False) -> None:
        if not name or is_hidden(name):
            return
        known = PurePosixPath(name).name.lower() in LABEL_FILES
        name = self._free(name)
        if known:  # a second one of a name, too, so that it is refused
            kind = self.labels
        else:
            ending = ending_of(name)
            reason: str | None = None
            if not self.kinds.tells(ending):
                try:
                    ending = self.kinds.by_head(self._head(called)) or ending
                except Unusable as unusable:
                    reason = str(unusable)
            if reason := reason or self.kinds.unread.get(ending):
                self.unread.append(Skipped(name, reason))
                return
            if ending not in self.kinds.read:
                self._hint(name)
                self.others[ending or "none"] += 1
                if ending == ".txt":
                    self._called[name] = called
                    self.texts.append(name)
                return
            kind = self.samples
        self._called[name] = called
        kind.append(name)
        if outside:
            self.outside.add(name)

    def _hint(self, name: str) -> None:
        if PurePosixPath(name).name.lower() in LABEL_LIKE:
            self.notes.append(
                f"{name} is not read; labels come from metadata.csv (columns file_name and label), metadata.jsonl,"
                " dataset.json or class folders"
            )

    def _free(self, name: str) -> str:
        """The name, numbered where another file is already called so: ``/a.png`` beside ``a.png``."""
        pure, wanted = PurePosixPath(name), name
        while name in self._called:
            self._numbers[wanted] += 1  # never from the start again: all entries of a zip may have one name
            name = str(pure.with_name(f"{pure.stem} ({self._numbers[wanted] + 1}){pure.suffix}"))
        return name

    def _sort(self) -> None:
        self.samples.sort(key=self.called)
        self.texts.sort(key=self.called)


class FolderFiles(BaseFiles):
    """The files below a folder, links followed, each folder once."""

    kind = "folder"

    def __init__(self, path: Path, kinds: Kinds = IMAGES):
        """List the folder at ``path``.

        Raises:
            LuoxiaError: the folder cannot be listed.
        """
        super().__init__(path, kinds)
        for place, names in walk(path, self._made, self._unlistable):
            for name in names:
                called = (place / name).relative_to(path).as_posix()
                self._add(called, *inner(called, drives=False))
        self._sort()

    def read(self, name: str) -> bytes:
        """Return the content of a file; raise Unusable where it cannot be read or is too large."""
        return _content(self.path / self.called(name))

    def open(self, name: str) -> BinaryIO:
        """Return a file of any size to read and seek in; raise Unusable where it cannot be read."""
        return _opened(self.path / self.called(name))

    def stamp(self, name: str) -> Stamp | None:
        """Return what changes when a file does."""
        return stamp_of(self.path / self.called(name))

    def _head(self, called: str) -> bytes:
        return _content(self.path / called, HEAD_BYTES)

    def _made(self, folder: Path, reason: str) -> None:
        self.unread.append(Skipped(printable(folder.relative_to(self.path).as_posix()), reason))

    def _unlistable(self, error: OSError) -> None:
        folder = Path(error.filename)
        if folder == self.path:
            raise LuoxiaError(
                f"the folder {folder} cannot be listed ({error.strerror}): ask for the permission to"
            ) from error
        name = printable(folder.relative_to(self.path).as_posix())
        self.skipped.append(Skipped(name, f"cannot be listed: {error.strerror}"))


class OneFile(BaseFiles):
    """A file that was named by itself, whatever its ending."""

    kind = "file"

    def __init__(self, path: Path, kinds: Kinds = IMAGES):
        """Take the file at ``path``."""
        super().__init__(path, kinds)
        self.samples = [printable(path.name)]

    def read(self, name: str) -> bytes:
        """Return its content; raise Unusable where it cannot be read or is too large."""
        return _content(self.path)

    def open(self, name: str) -> BinaryIO:
        """Return it to read and seek in; raise Unusable where it cannot be read."""
        return _opened(self.path)

    def stamp(self, name: str) -> Stamp | None:
        """Return what changes when the file does."""
        return stamp_of(self.path)


def _content(path: Path, head: int | None = None) -> bytes:
    """All bytes of a file, or the first ``head``."""
    try:
        with open_regular(path) as file:
            if head is not None:
                return file.read(head)
            return at_most(file.read(MAX_FILE_BYTES + 1), MAX_FILE_BYTES)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror or error}") from error


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror or error}") from error


def at_most(content: bytes, limit: int) -> bytes:
    """Return the content; raise Unusable where it is longer."""
    if len(content) > limit:
        raise Unusable(f"larger than {limit // 2**20} MiB")
    return content
