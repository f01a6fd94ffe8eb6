"""WAV: 16-bit PCM; the label is the comment, ICMT in the chunk LIST INFO, after the samples."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import staged
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import KEY, MAX_BYTES, unpacked
from luoxia.formats.pcm import Waves, digest_of, pieces
from luoxia.provenance.label import Label

LARGEST = 2**32 - 2**25
"""Bytes of samples at most: sizes have 32 bits, and the label needs room."""


def write(waves: Waves, label: Label, path: Path, rate: int) -> Path:
    """Write waves (samples, channels) at ``rate`` Hz. The label's ``sha256`` is that of format and samples."""
    with staged(path) as file:
        file.write(bytes(44))
        digest, size, channels = hashlib.sha256(), 0, 1
        for block in pieces(waves):
            channels, content = block.shape[1], block.astype("<i2").tobytes()
            size += len(content)
            if size > LARGEST:
                raise LuoxiaError(f"{path} would be larger than the 4 GiB that a WAV holds: write .flac")
            digest.update(content)
            file.write(content)
        form = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
        own = replace(label, sha256=hashlib.sha256(form + digest.digest()).hexdigest())
        file.write(_info(own))
        end = file.tell()
        file.seek(0)
        file.write(b"RIFF" + struct.pack("<I", end - 8) + b"WAVEfmt " + struct.pack("<I", 16) + form)
        file.write(b"data" + struct.pack("<I", size))
    return path


def _info(label: Label) -> bytes:
    """The chunk LIST INFO with the software and the label; in ASCII, as the format wants it."""
    texts = {b"ISFT": f"{label.system} {label.version}", b"ICMT": json.dumps({KEY: label.as_dict()})}
    content = b"INFO"
    for name, text in texts.items():
        value = text.encode("ascii", "backslashreplace") + b"\0"
        content += name + struct.pack("<I", len(value)) + value + b"\0" * (len(value) % 2)
    return b"LIST" + struct.pack("<I", len(content)) + content


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file:
        return carried(file)


def carried(file: BinaryIO) -> Label | None:
    """The label in an open WAV."""
    for name, start, size in _chunks(file):
        if name == b"LIST" and size >= 4:
            file.seek(start)
            if file.read(4) != b"INFO":
                continue
            for kind, place, length in _inside(file, start + 4, start + size):
                if kind == b"ICMT":
                    file.seek(place)
                    return unpacked(file.read(min(length, MAX_BYTES + 1)).rstrip(b"\0"))
    return None


def is_intact(path: Path, label: Label) -> bool:
    """Whether format and samples are those of the label."""
    with open_regular(path) as file:
        places = {name: (start, size) for name, start, size in _chunks(file)}
        if b"fmt " not in places or b"data" not in places:
            return False
        start, size = places[b"fmt "]
        file.seek(start)
        form = file.read(min(size, 2**10))
        start, size = places[b"data"]
        samples = bytes.fromhex(digest_of(file, start, start + size))
        return hashlib.sha256(form + samples).hexdigest() == label.sha256


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its data begins, size of its data) of each whole chunk."""
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return
    yield from _inside(file, 12, end)


def _inside(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start + 8 <= end:
        file.seek(start)
        head = file.read(8)
        size = int.from_bytes(head[4:], "little")
        if start + 8 + size > end:
            return
        yield head[:4], start + 8, size
        start += 8 + size + size % 2
