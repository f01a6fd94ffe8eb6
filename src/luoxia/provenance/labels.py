"""Which files are ours: those that carry a label, inside where their format has room for one, else beside them."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import to_json, write_file
from luoxia.media.image.writer import is_as_written, read_parameters
from luoxia.provenance.rule import GENERATOR, is_label

MOST = 2**24
"""Bytes of a label that are read at most."""

UNREADABLE = (
    OSError, ValueError, LookupError, EOFError, MemoryError, OverflowError, RecursionError, RuntimeError, LuoxiaError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What a damaged or hostile file brings about."""


def is_ours(path: Path) -> bool:
    """Whether a file's own label says that Luoxia made it; never through a link, False for what cannot be read."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        return INSIDE.get(path.suffix.lower(), _by_sidecar)(path)
    except UNREADABLE:
        return False


# ------------------------------------------------------------------ labels beside a file


def sidecar(path: Path) -> Path:
    """FILE.label.json: a text keeps line i for row i, so that its label lies beside it."""
    return path.with_name(f"{path.name}.label.json")


def write_beside(path: Path, content: bytes | str, parameters: dict[str, Any]) -> Path:
    """Write a file and its label beside it, which holds the SHA-256 of the content.

    The label comes first: if work ends between the two, it speaks of another content, and the file is not ours.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    label = {**parameters, "generator": GENERATOR, "sha256": hashlib.sha256(data).hexdigest()}
    write_file(sidecar(path), to_json(label) + "\n")
    return write_file(path, data)


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The label in a sidecar, None where it is not one of ours."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST:
        return None
    try:
        label = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return label if is_label(label) and "sha256" in label else None


def _by_sidecar(path: Path) -> bool:
    if path.name.endswith(".label.json"):
        return read_sidecar(path) is not None
    if (label := read_sidecar(sidecar(path))) is None:
        return False
    with path.open("rb") as file:
        return bool(label["sha256"] == hashlib.file_digest(file, "sha256").hexdigest())


# ------------------------------------------------------------------ labels inside a file


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows that hold their label as JSON lines; ``sha256`` in each is that of all rows without it."""
    listed, whole = list(rows), hashlib.sha256()
    for row in listed:
        whole.update(to_json(row).encode())
    digest = {"sha256": whole.hexdigest()}
    return write_file(path, "".join(to_json(row | digest) + "\n" for row in listed))


def _png(path: Path) -> bool:
    return is_as_written(path)  # the field is ours by its name


def _gif(path: Path) -> bool:
    return is_label(read_parameters(path))  # in the comment, where others write too


def _npz(path: Path) -> bool:
    with zipfile.ZipFile(path) as file, file.open("parameters.npy") as member:
        told = np.lib.format.read_array(io.BytesIO(member.read(MOST)), allow_pickle=False)
    return told.dtype.kind == "U" and is_label(json.loads(str(told)))


def _mp4(path: Path) -> bool:
    from luoxia.media.image.animation import read_comment

    return is_label(json.loads(read_comment(path)))


def _jsonl(path: Path) -> bool:
    """Every row of it, and the digest of all where there is one: what a person added or changed is not ours."""
    whole, told = hashlib.sha256(), set()
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not is_label(row := json.loads(line)):
                return False
            told.add(str(row.pop("sha256", "")))
            whole.update(to_json(row).encode())
    return told in ({""}, {whole.hexdigest()})


INSIDE: dict[str, Callable[[Path], bool]] = {
    ".png": _png, ".gif": _gif, ".npz": _npz, ".mp4": _mp4, ".jsonl": _jsonl,
}  # fmt: skip
"""Whether a file of this ending carries our label; files of all others have it beside them."""
