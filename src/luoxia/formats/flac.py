"""FLAC: the label is the Vorbis comment ``LUOXIA``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, BinaryIO

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import staged
from luoxia.core.regular import open_regular
from luoxia.formats import vorbis_comment
from luoxia.formats.pcm import Encoding, Waves, digest_of, encoded, parts
from luoxia.provenance.label import Label

FLAC = Encoding("FLAC", "PCM_16")
STREAMINFO, COMMENT = 0, 4
LAST = 0x80
LARGEST = 2**24 - 1
"""Bytes of a block at most."""


def write(waves: Waves, label: Label, path: Path, rate: int) -> Path:
    """Write waves (samples, channels) at ``rate`` Hz. The label's ``sha256`` is that of all but the other blocks."""
    with encoded(waves, rate, FLAC, path.suffix) as plain, staged(path) as file:
        info, sound = _streaminfo(plain)
        comment = vorbis_comment.packed(replace(label, sha256=digest_of(plain, sound, begun=info)))
        if len(comment) > LARGEST:
            raise LuoxiaError(f"{path}: its label has more than the 16 MiB that a FLAC holds")
        file.write(b"fLaC" + _block(STREAMINFO, info) + _block(COMMENT | LAST, comment))
        file.writelines(parts(plain, sound))
    return path


def _block(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(3, "big") + content


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file:
        return carried(file)


def carried(file: BinaryIO) -> Label | None:
    """The label in an open FLAC."""
    for kind, start, size in _blocks(file):
        if kind == COMMENT:
            file.seek(start)
            return vorbis_comment.label_in(file.read(size))
    return None


def is_intact(path: Path, label: Label) -> bool:
    """Whether the frames and what they mean are those of the label."""
    with open_regular(path) as file:
        info, sound = _streaminfo(file)
        return digest_of(file, sound, begun=info) == label.sha256


def _streaminfo(file: BinaryIO | IO[bytes]) -> tuple[bytes, int]:
    """The first block, and where the frames begin; ``ValueError`` where there is none."""
    info, sound = None, 0
    for kind, start, size in _blocks(file):
        if kind == STREAMINFO:
            file.seek(start)
            info = file.read(size)
        sound = start + size
    if info is None:
        raise ValueError("no FLAC")
    return info, sound


def _blocks(file: BinaryIO | IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """(kind, where its content begins, size) of each whole block of metadata."""
    end, at, last = file.seek(0, 2), 4, False
    file.seek(0)
    if file.read(4) != b"fLaC":
        return
    while not last and at + 4 <= end:
        file.seek(at)
        head = file.read(4)
        last, size = bool(head[0] & LAST), int.from_bytes(head[1:], "big")
        if at + 4 + size > end:
            return
        yield head[0] & ~LAST, at + 4, size
        at += 4 + size
