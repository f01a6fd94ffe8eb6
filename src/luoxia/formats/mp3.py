"""MP3: the label is the text ``luoxia`` (TXXX) of an ID3v2.4 tag at the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from luoxia.core.files import staged, to_json
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import KEY, MAX_BYTES, unpacked
from luoxia.formats.pcm import Encoding, Waves, digest_of, encoded, parts
from luoxia.provenance.label import Label

MP3 = Encoding("MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000))
UTF_8 = b"\x03"


def write(waves: Waves, label: Label, path: Path, rate: int) -> Path:
    """Write waves (samples, channels) at ``rate`` Hz. The label's ``sha256`` is that of all after the tag."""
    with encoded(waves, rate, MP3, path.suffix) as plain, staged(path) as file:
        file.write(_tag(replace(label, sha256=digest_of(plain, 0))))
        file.writelines(parts(plain, 0))
    return path


def _tag(label: Label) -> bytes:
    frames = _frame(b"TSSE", UTF_8 + f"{label.system} {label.version}".encode())
    frames += _frame(b"TXXX", UTF_8 + KEY.encode() + b"\0" + to_json(label.as_dict()).encode())
    return b"ID3\x04\x00\x00" + _syncsafe(len(frames)) + frames


def _frame(name: bytes, content: bytes) -> bytes:
    return name + _syncsafe(len(content)) + bytes(2) + content


def _syncsafe(number: int) -> bytes:
    """28 bits in four bytes whose highest bit is 0."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _number(content: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(content, (21, 14, 7, 0), strict=True))


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file:
        return carried(file)


def carried(file: BinaryIO) -> Label | None:
    """The label in an open MP3."""
    for name, start, size in _frames(file):
        if name == b"TXXX":
            file.seek(start)
            content = file.read(min(size, MAX_BYTES + 2**10))
            keyword, _, text = content[1:].partition(b"\0")
            if content[:1] == UTF_8 and keyword == KEY.encode():
                return unpacked(text, ours=True)
    return None


def is_intact(path: Path, label: Label) -> bool:
    """Whether what comes after the tag is what the label belongs to."""
    with open_regular(path) as file:
        return digest_of(file, _tag_end(file)) == label.sha256


def _tag_end(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(10)
    return 10 + _number(head[6:]) if head[:4] == b"ID3\x04" and len(head) == 10 else 0


def _frames(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its content begins, size) of each whole frame."""
    end, at = _tag_end(file), 10
    while at + 10 <= end:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or not head[:4].strip(b"\0"):
            return
        size = _number(head[4:8])
        if at + 10 + size > end:
            return
        yield head[:4], at + 10, size
        at += 10 + size
