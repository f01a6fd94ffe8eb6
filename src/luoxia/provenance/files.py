"""Writing files so that a reader, a crash or a full disk never finds half of one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from luoxia.errors import LuoxiaError


def write_file(path: Path, content: bytes | str) -> Path:
    """Write beside, flush to disk, rename over ``path``; ``LuoxiaError`` says what the system refused."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise LuoxiaError(f"cannot write {path}: {error.strerror or error}") from error
    finally:  # a signal may end the work too
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path
