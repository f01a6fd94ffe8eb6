"""NPZ: the label is the array ``header``, a text; before 0.2 it was ``parameters``."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import parse_object, staged, to_json
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import KEY, MAX_BYTES, packed, unpacked
from luoxia.provenance.label import InvalidLabelError, Label

HEADER = "header"
_NAMES = (HEADER, "parameters")


@dataclass(frozen=True)
class Rows:
    """An array of this shape whose rows come in pieces, one after the other."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Iterable[NDArray[Any]]


def write(
    arrays: Mapping[str, NDArray[Any] | Rows],
    label: Label,
    path: Path,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write named arrays, compressed, in this order; ``facts``: JSON values that the header holds beside the label.

    The label's ``sha256`` is that of the facts and of all arrays.
    """
    digest = hashlib.sha256(to_json(facts or {}).encode())
    with staged(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, array: NDArray[Any] | Rows) -> None:
            digest.update(f"{name}.npy".encode())
            rows = array if isinstance(array, Rows) else Rows(array.shape, array.dtype, [array])
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                for piece in _bytes(rows):
                    digest.update(piece)
                    member.write(piece)

        for name, array in arrays.items():
            add(name, array)
        add(HEADER, np.array(packed(replace(label, sha256=digest.hexdigest()), facts)))
    return path


def _bytes(rows: Rows) -> Iterator[bytes]:
    """What an .npy holds of an array."""
    descr, head = np.lib.format.dtype_to_descr(rows.dtype), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": descr, "fortran_order": False, "shape": rows.shape})
    yield head.getvalue()
    for piece in rows.pieces:
        yield np.ascontiguousarray(piece).tobytes()


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        name = next((name for name in _NAMES if f"{name}.npy" in names), None)
        if name is None:
            return None
        with archive.open(f"{name}.npy") as member:
            content = member.read(
                4 * MAX_BYTES + 2**10
            )  # four bytes a character; whatever the archive claims
    text = _text_of(content)
    return None if text is None else unpacked(text)


def read(
    path: Path, names: Collection[str], most: int = 2**30
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Those of the arrays ``names`` that a file has, and what its header says, {} without one.

    Arrays hold numbers or texts and have at most ``most`` bytes; nothing is allocated by what the file claims.

    Raises:
        LuoxiaError: it cannot be read, or an array is damaged, too large, or holds Python objects.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            held = {name for name in (*names, HEADER) if f"{name}.npy" in archive.namelist()}
            arrays = {name: _array(archive, name, most) for name in held}
        header = str(arrays.pop(HEADER)) if HEADER in arrays else "{}"
        return arrays, parse_object(header)
    except UNREADABLE as error:
        reason = (
            getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
        )
        raise LuoxiaError(f"{path} cannot be read: {reason}") from error


UNREADABLE = (
    OSError, ValueError, EOFError, LookupError, MemoryError, OverflowError, RecursionError, RuntimeError, SyntaxError,
    TypeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What a damaged or hostile file brings about."""


def _array(archive: zipfile.ZipFile, name: str, most: int) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its array {name} has a layout that is not known")
        header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, fortran, dtype = header(member)
        if dtype.kind not in "biufU":
            raise ValueError(f"its array {name} holds neither numbers nor texts")
        size = prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or size > most:
            raise ValueError(f"its array {name} claims {size:,} bytes, and {most:,} are read at most")
        content = member.read(size + 1)
    if len(content) != size:
        raise ValueError(f"its array {name} is cut short or damaged")
    flat = np.frombuffer(content, dtype) if size else np.zeros(prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def is_intact(path: Path, label: Label) -> bool:
    """Whether the arrays, and what the header says beside the label, are those of the label."""
    facts = {key: value for key, value in read(path, ())[1].items() if key != KEY}
    digest = hashlib.sha256(to_json(facts).encode())
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.filename != f"{HEADER}.npy":
                digest.update(info.filename.encode())
                with archive.open(info) as member:
                    while piece := member.read(2**20):
                        digest.update(piece)
    return digest.hexdigest() == label.sha256


def _text_of(content: bytes) -> bytes | None:
    """The text that an .npy of one text holds, None for any other; nothing is allocated by what it claims."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        return None
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if shape != () or dtype.kind != "U":
        return None
    text = file.read()
    if len(text) != dtype.itemsize:
        raise InvalidLabelError("the label is cut short or too large")
    return text.decode("utf-32-le" if dtype.str[0] == "<" else "utf-32-be").rstrip("\0").encode()
