"""The cache on disk: whole folders, each published with one rename.

A folder is built under a temporary name beside its final one, flushed to the disk and renamed. So readers see
all of it or nothing, two processes may build the same folder at once, and a killed build leaves only a stale
temporary that a later build sweeps away.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import flush
from luoxia.core.names import expanded
from luoxia.core.regular import bytes_of

NAME = re.compile(r"(self-)?[0-9a-f]{32}")
"""What an entry is called: a digest of what it was made from."""
TEMPORARY_PREFIX = ".building-"
STALE_SECONDS = 24 * 3600
DAMAGED = (FileNotFoundError, ValueError, KeyError, TypeError, EOFError, AttributeError, RuntimeError)
"""What reading an entry raises that was not wholly written, or changed since."""
Content = TypeVar("Content")

TAG, TAG_TEXT = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# An entry of the cache of Luoxia.\n",
)
"""The file that marks a cache, by the convention of bford.info/cachedir, and what it holds in ours."""


def cache_folder() -> Path:
    """Return Luoxia's cache folder.

    It is ``$LUOXIA_CACHE``, else ``$XDG_CACHE_HOME/luoxia``, else ``~/.cache/luoxia``; it may not exist yet.

    Raises:
        LuoxiaError: none of these is set, and the user has no home.
    """
    if own := os.environ.get("LUOXIA_CACHE"):
        return expanded(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return expanded(shared) / "luoxia"
    try:
        return Path.home() / ".cache" / "luoxia"
    except RuntimeError as error:
        raise LuoxiaError(
            "this user has no home folder for the cache: set LUOXIA_CACHE to a folder"
        ) from error


def entry_of(entry: Path, read: Callable[[Path], Content], build: Callable[[Path], None]) -> Content:
    """What ``read(entry)`` gives; where the entry is not there, or is damaged, ``build(folder)`` writes it first.

    Raises:
        LuoxiaError: the cache cannot be read or written, or what was written does not read back.
    """
    content = read_entry(entry, read)
    if content is None:
        publish(entry, build)
        content = read_entry(entry, read)
    if content is None:
        raise LuoxiaError(f"the cache entry {entry} is damaged: remove this folder and try again")
    return content


def read_entry(entry: Path, read: Callable[[Path], Content]) -> Content | None:
    """What ``read(entry)`` gives, None where there is no entry; a damaged one is removed.

    Raises:
        LuoxiaError: the cache cannot be read.
    """
    if not entry.is_dir():
        return None
    try:
        content = read(entry)
        _note_use(entry)
        return content
    except DAMAGED:
        shutil.rmtree(entry, ignore_errors=True)
        return None
    except OSError as error:
        raise LuoxiaError(
            f"the cache entry {entry} cannot be read ({error.strerror or error}): check its permissions,"
            " or set LUOXIA_CACHE to another folder"
        ) from error


@dataclass(frozen=True)
class Entry:
    """A folder of the cache: its size in bytes, and when it was last used, in seconds since 1970."""

    path: Path
    size: int
    used: float

    @property
    def kind(self) -> str:
        """What it holds: the name of the folder that it lies in."""
        return self.path.parent.name


def entries() -> list[Entry]:
    """All entries of the cache, the least recently used first; [] where there is no cache.

    A person may have given a folder with other things in it as the cache: only what bears the name and the mark of an
    entry counts.
    """
    found = []
    for path in cache_folder().glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # another process may remove it meanwhile
            if NAME.fullmatch(path.name) and _is_marked(path) and not path.is_symlink():
                size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
                found.append(Entry(path, size, path.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def evict(limit: int) -> list[Entry]:
    """Remove the least recently used entries until the rest has at most ``limit`` bytes; return those removed.

    Raises:
        LuoxiaError: an entry cannot be removed.
    """
    present = entries()
    total, removed = sum(entry.size for entry in present), []
    for entry in present:
        if total <= limit:
            break
        with _readable_errors(entry.path):
            shutil.rmtree(entry.path)
        total -= entry.size
        removed.append(entry)
    return removed


def publish(final: Path, build: Callable[[Path], None]) -> None:
    """Create the folder ``final`` with what ``build(folder)`` writes; whoever comes second is discarded.

    Raises:
        LuoxiaError: the cache cannot be written, or its disk is full.
    """
    with _readable_errors(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        sweep(final.parent)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=final.parent))
        try:
            build(temporary)
            mark(temporary)
            for file in temporary.iterdir():
                flush(file)
            flush(temporary)
            _rename_unless_there(temporary, final)
            flush(final.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def mark(entry: Path) -> None:
    """Write into an entry what tells, here and to programs that keep copies of files, that it is one of a cache."""
    (entry / TAG).write_text(TAG_TEXT, "utf-8", newline="")


def _is_marked(entry: Path) -> bool:
    try:
        return bytes_of(entry / TAG) == TAG_TEXT.encode()
    except OSError:
        return False


def sweep(folder: Path, older_than: float = STALE_SECONDS) -> None:
    """Remove the temporaries in ``folder`` that nobody has written to for ``older_than`` seconds."""
    for temporary in folder.glob(TEMPORARY_PREFIX + "*"):
        # Another process may finish or sweep the same temporary meanwhile.
        with contextlib.suppress(FileNotFoundError):
            touched = max(path.stat().st_mtime for path in (temporary, *temporary.iterdir()))
            if time.time() - touched > older_than:
                shutil.rmtree(temporary, ignore_errors=True)


def _note_use(entry: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that can only be read is used all the same
        os.utime(entry)


def _rename_unless_there(temporary: Path, final: Path) -> None:
    try:
        temporary.rename(final)
    except OSError:
        if not final.is_dir():
            raise


@contextlib.contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LuoxiaError(
            f"the cache folder {folder} cannot be written ({error.strerror or error}): free space there,"
            " or set LUOXIA_CACHE to a folder that can be written"
        ) from error
