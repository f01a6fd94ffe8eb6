"""Regular files, read without waiting: in a folder that anybody may have made, any name may be that of a pipe."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path


def open_regular(path: Path) -> io.BufferedReader:
    """A file to read; ``OSError`` where ``path`` is anything else, such as a pipe, which is never waited for."""
    file = open(path, "rb", opener=_at_once)  # noqa: SIM115 - Path.open takes no opener
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def bytes_of(path: Path) -> bytes:
    """The content of a file; see ``open_regular``."""
    with open_regular(path) as file:
        return file.read()


def text_of(path: Path, errors: str = "strict") -> str:
    """The UTF-8 text of a file, with \\n at the end of each line; see ``open_regular``."""
    with io.TextIOWrapper(open_regular(path), "utf-8", errors) as file:
        return file.read()


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
