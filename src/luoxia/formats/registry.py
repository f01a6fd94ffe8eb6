"""Which format a file has, by its suffix; and which label it carries."""

from __future__ import annotations

import zipfile
import zlib
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from luoxia.core.errors import LuoxiaError
from luoxia.core.names import readable
from luoxia.formats import sidecar
from luoxia.provenance.label import InvalidLabelError, Label

MODULES = {
    ".png": "png",
    ".gif": "gif",
    ".npz": "npz",
    ".npy": "npy",
    ".tok": "tok",
    ".mp4": "mp4",
    ".wav": "wav",
    ".flac": "flac",
    ".ogg": "ogg",
    ".mp3": "mp3",
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".md": "md",
}
"""Suffix → module of this package; files with any other are plain text. Each has ``write(content, label, path)``."""


class Format(Protocol):
    """How the label of a format is read."""

    def read_label(self, path: Path) -> Label | None:
        """The label that a file carries, None without one; raises what ``UNREADABLE`` lists."""

    def is_intact(self, path: Path, label: Label) -> bool:
        """Whether the content is the one that the label's ``sha256`` belongs to."""


UNREADABLE = (
    OSError, ValueError, LookupError, EOFError, MemoryError, OverflowError, RecursionError, RuntimeError, SyntaxError,
    TypeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What damaged or hostile files cause."""


def format_of(path: Path) -> Format:
    """The module for files of this suffix."""
    if path.name.endswith(sidecar.SUFFIX):
        return sidecar
    return cast(Format, import_module(f"luoxia.formats.{MODULES.get(path.suffix.lower(), 'txt')}"))


def read_label(path: Path) -> Label | None:
    """The label that a file carries, whether or not its content was changed since; never raises.

    None: it carries none, or its label is damaged, or it cannot be read. Links are not followed.
    """
    try:
        return None if path.is_symlink() else format_of(path).read_label(path)
    except (LuoxiaError, *UNREADABLE):
        return None


def checked_label(path: Path) -> Label | None:
    """The label that a file carries; None without one. Links are not followed.

    Raises:
        InvalidLabelError: the label is damaged, from a newer Luoxia, or belongs to other content.
        LuoxiaError: the file cannot be read.
    """
    if path.is_symlink():
        raise LuoxiaError(f"{path} is a link, which is not followed: name the file itself")
    try:
        if not path.is_file():
            raise FileNotFoundError("it is not a regular file" if path.exists() else "it is not there")
        found = format_of(path).read_label(path)
    except InvalidLabelError as error:
        raise InvalidLabelError(f"{path}: {error}") from None
    except UNREADABLE as error:
        raise LuoxiaError(f"{path} cannot be read: {_reason(error)}") from error
    if found is not None and found.sha256 and not _is_intact(path, found):
        raise InvalidLabelError(f"{path} has a label of other content: it was changed after it was generated")
    return found


def is_ours(path: Path) -> bool:
    """Whether Luoxia made a file, and nobody has changed it since as far as its label tells; False for links."""
    try:
        label = checked_label(path)
    except LuoxiaError:
        return False
    return label is not None and label.system == "Luoxia"


def _is_intact(path: Path, label: Label) -> bool:
    try:
        return format_of(path).is_intact(path, label)
    except UNREADABLE:
        return False


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or readable(" ".join(str(error).split()) or type(error).__name__)
