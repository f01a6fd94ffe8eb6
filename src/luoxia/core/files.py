"""Writing files so that a reader, a crash or a full disk never finds half of one; reading what may be broken."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from luoxia.core.errors import LuoxiaError
from luoxia.core.regular import text_of


@contextlib.contextmanager
def staged(path: Path) -> Iterator[BinaryIO]:
    """A new file beside ``path``, to write and seek in; at the end it is flushed to the disk and renamed to ``path``.

    If anything fails, it is removed and what was at ``path`` stays. ``LuoxiaError`` says what the system refused.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise LuoxiaError(f"cannot write {path}: {error.strerror or error}") from error
    finally:  # a signal may end the work too
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all or none: each is on the disk before the first is renamed.

    If a later one cannot be renamed, what was at the earlier ones is put back. ``LuoxiaError`` names the last.
    """
    *_, last = contents
    temporaries = {path: _temporary(path) for path in contents}
    former: dict[Path, bytes | None] = {}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporaries[path].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            before = path.read_bytes() if path != last and path.is_file() else None
            temporaries[path].replace(path)
            former[path] = before
    except OSError as error:
        for path, before in former.items():
            with contextlib.suppress(OSError):
                path.unlink() if before is None else path.write_bytes(before)
        raise LuoxiaError(f"cannot write {last}: {error.strerror or error}") from error
    finally:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink()


def _temporary(path: Path) -> Path:
    """A name of its own in each thread, and never too long where the name of ``path`` is as long as it may be."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")


def write_file(path: Path, content: bytes | str) -> Path:
    """Write ``content``, a text as UTF-8; see ``staged``. Lone surrogates of a text are escaped."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with staged(path) as file:
        file.write(data)
    return path


def to_json(value: Any) -> str:
    """One line of JSON that UTF-8 can hold: names of files may have lone surrogates, which stay escaped."""
    return re.sub(
        "[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; ``OSError`` where no file lies, ``ValueError`` where it holds anything else."""
    return parse_object(text_of(path))


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in a text; ``ValueError`` where it is anything else."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into, which is flushed and becomes ``path`` at the end, or is removed if anything fails."""
    with _beside(path) as temporary:
        yield temporary
        _flush_all(temporary)
        temporary.replace(path)
        flush(path.parent)


@contextlib.contextmanager
def new_version(path: Path, ours: Collection[str]) -> Iterator[Path]:
    """A folder to write into, which at the end stands at ``path`` instead of the one that is there.

    Until it is whole, the old one is in force. Between two renames the old one stands aside, where ``in_force`` finds
    it, so that a process killed at any moment leaves one of them whole. What the old one holds beside ``ours``, the
    names that are written here, is carried over.
    """
    for stale, name in _private(path.parent, "tmp"):  # of killed writers
        if name == path.name:
            shutil.rmtree(stale, ignore_errors=True)
    with _beside(path) as temporary:
        recover(path)
        _retire(path, ours)
        yield temporary
        _flush_all(temporary)
        try:
            set_aside(path)
            temporary.rename(path)
        finally:
            recover(path)
        flush(path.parent)
        _retire(path, ours)


def in_force(path: Path) -> Path:
    """The folder at ``path``, or the one that a killed writer left aside; earlier versions called it NAME.old."""
    former = path.with_name(
        f"{path.name}.old"
    )  # or a person's own copy: it is read, and never moved or removed
    left = [*asides(path), *([former] if former.is_dir() and not former.is_symlink() else [])]
    return path if path.exists() or not left else left[0]


def set_aside(path: Path) -> None:
    """Free ``path`` for a successor: a folder moves to a private name beside it, a link or a file there is removed."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f".{path.name}.{secrets.token_hex(8)}.old"))
    else:
        path.unlink(missing_ok=True)


def asides(path: Path) -> list[Path]:
    """The folders that ``set_aside`` moved away from ``path``."""
    return [aside for aside, name in _private(path.parent, "old") if name == path.name]


def recover(path: Path) -> None:
    """Put a folder back that a killed writer left aside."""
    for aside in asides(path):
        if not os.path.lexists(path):
            with contextlib.suppress(FileNotFoundError):
                aside.rename(path)


def settle(folder: Path) -> None:
    """In ``folder``, put back what killed writers left aside, or remove it where its successor stands."""
    for aside, name in _private(folder, "old"):
        recover(folder / name)
        shutil.rmtree(aside, ignore_errors=True)


def _private(folder: Path, ending: str) -> list[tuple[Path, str]]:
    """Folders with names that only this module gives, and the name that each stands for; never a link."""
    form = re.compile(rf"\.(.+)\.[0-9a-f]{{16}}\.{ending}")
    found = [(path, form.fullmatch(path.name)) for path in sorted(folder.glob(f".*.{ending}"))]
    return [(path, match[1]) for path, match in found if match and path.is_dir() and not path.is_symlink()]


def _retire(path: Path, ours: Collection[str]) -> None:
    """Remove the folder that stands aside, once what is the user's in it lies at ``path``."""
    for aside in asides(path):
        for entry in sorted(aside.iterdir()):
            if entry.name not in ours and not os.path.lexists(path / entry.name):
                entry.rename(path / entry.name)
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder beside ``path``, removed if it is still there in the end."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
    except OSError as error:
        raise LuoxiaError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _flush_all(folder: Path) -> None:
    """Everything in a folder onto the disk."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)


def flush(path: Path) -> None:
    """A file or the entries of a folder onto the disk."""
    if path.is_dir() and os.name != "posix":  # only POSIX can open a folder to flush it
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
