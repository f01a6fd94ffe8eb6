"""Where image files lie: a folder or a zip, each as a list of names and a bounded read."""

import os
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from luoxia.data.convert import Unusable
from luoxia.errors import LuoxiaError

ENDINGS = "png apng jpg jpeg jpe jfif webp avif gif bmp dib tif tiff ppm pgm pbm pnm tga jp2 j2k qoi pcx"
EXTENSIONS = frozenset(f".{ending}" for ending in ENDINGS.split())
METADATA = "metadata.csv"

MAX_FILE_BYTES = 256 * 2**20  # of one file, unpacked
MAX_ENTRIES = 1_000_000  # of one zip
MAX_RATIO = 200  # unpacked over packed: images are compressed already, bombs reach 1,000
FREE_BYTES = 2**20  # a blank BMP may shrink more than MAX_RATIO; below this size nobody is hurt


@dataclass(frozen=True)
class Skipped:
    """A file that was meant as a sample and cannot be used, and why."""

    name: str
    reason: str


class Files(Protocol):
    """Named files, with ``/`` between folders."""

    kind: str
    path: Path
    images: list[str]  # sorted names of what has an image's extension
    metadata: list[str]  # names of the files called metadata.csv
    ignored: int  # other files
    skipped: list[Skipped]

    def read(self, name: str) -> bytes:
        """Return the content of a file; raise Unusable where it cannot be read or is too large."""


def is_hidden(name: str) -> bool:
    """Say whether a file is of the system's making: ``.hidden`` or ``__MACOSX``, or within such a folder."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


class _Listing:
    def __init__(self, path: Path):
        self.path = path
        self.images: list[str] = []
        self.metadata: list[str] = []
        self.ignored = 0
        self.skipped: list[Skipped] = []

    def _add(self, name: str) -> None:
        pure = PurePosixPath(name)
        if is_hidden(name):
            return
        if pure.suffix.lower() in EXTENSIONS:
            self.images.append(name)
        elif pure.name == METADATA:
            self.metadata.append(name)
        else:
            self.ignored += 1


class FolderFiles(_Listing):
    """The files below a folder, links followed, each folder once."""

    kind = "folder"

    def __init__(self, path: Path):
        """List the folder at ``path``.

        Raises:
            LuoxiaError: the folder cannot be listed.
        """
        super().__init__(path)
        seen: set[tuple[int, int]] = set()
        for folder, subfolders, names in os.walk(path, onerror=self._unlistable, followlinks=True):
            place = Path(folder)
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:  # a link back to where we were
                subfolders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
            for name in names:
                self._add((place / name).relative_to(path).as_posix())
        self.images.sort()

    def read(self, name: str) -> bytes:
        """Return the content of a file; raise Unusable where it cannot be read or is too large."""
        return _content(self.path / name)

    def _unlistable(self, error: OSError) -> None:
        folder = Path(error.filename)
        if folder == self.path:
            raise LuoxiaError(
                f"the folder {folder} cannot be listed ({error.strerror}): ask for the permission to"
            ) from error
        self.skipped.append(
            Skipped(folder.relative_to(self.path).as_posix(), f"cannot be listed: {error.strerror}")
        )


class OneFile(_Listing):
    """A file that was named by itself, whatever its ending."""

    kind = "file"

    def __init__(self, path: Path):
        """Take the file at ``path``."""
        super().__init__(path)
        self.images = [path.name]

    def read(self, name: str) -> bytes:
        """Return its content; raise Unusable where it cannot be read or is too large."""
        return _content(self.path)


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unusable("not a regular file")
            return _at_most(file.read(MAX_FILE_BYTES + 1), MAX_FILE_BYTES)
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror or error}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    """Open as usual, but do not wait for a writer where ``path`` is a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class ZipFiles(_Listing):
    """The entries of a zip, read in memory, never unpacked to the disk, never trusted about their size."""

    kind = "zip"

    def __init__(self, path: Path):
        """List the zip at ``path``.

        Raises:
            LuoxiaError: it is damaged, or has more than ``MAX_ENTRIES`` entries.
        """
        super().__init__(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise LuoxiaError(f"{path} cannot be opened as a zip ({error}): pack it again") from error
        entries = {info.filename: info for info in self._zip.infolist() if not info.is_dir()}
        if len(entries) > MAX_ENTRIES:
            raise LuoxiaError(f"{path} has {len(entries):,} entries, more than {MAX_ENTRIES:,}: split it")
        self._entries = entries
        for name in entries:
            self._add(name)
        self.images.sort()

    def read(self, name: str) -> bytes:
        """Return the content of an entry; raise Unusable where it is damaged, too large or a bomb."""
        info = self._entries[name]
        if info.flag_bits & 1:
            raise Unusable("encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unusable("packed with another method than deflate")  # which might unpack without bound
        fair = max(FREE_BYTES, MAX_RATIO * info.compress_size)
        try:
            with self._zip.open(info) as file:
                content = file.read(min(fair, MAX_FILE_BYTES) + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
            raise Unusable(f"damaged in the zip: {error}") from error
        if len(content) > fair:
            raise Unusable(f"unpacks to more than {MAX_RATIO} times its packed size")
        return _at_most(content, MAX_FILE_BYTES)


def _at_most(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise Unusable(f"larger than {limit // 2**20} MiB")
    return content
