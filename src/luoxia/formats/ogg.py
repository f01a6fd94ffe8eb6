"""Ogg Vorbis: the label is the Vorbis comment ``LUOXIA``, which labels of Ogg Opus are read from, too."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO

from luoxia.core.files import staged
from luoxia.core.regular import open_regular
from luoxia.formats import vorbis_comment
from luoxia.formats.carrier import MAX_BYTES
from luoxia.formats.pcm import Encoding, Waves, encoded
from luoxia.provenance.label import Label

VORBIS = Encoding("OGG", "VORBIS")
_HEADS = {b"\x01vorbis": (b"\x03vorbis", 3), b"OpusHead": (b"OpusTags", 2)}
"""How the first packet begins → how the comment does, and how many packets come before the sound."""
_MOST_HEADER = MAX_BYTES + 2**20
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """A page as it lies in the file: its header of 27 bytes, the sizes of its segments, its body."""

    head: bytes
    sizes: bytes
    body: bytes

    def numbered(self, number: int) -> bytes:
        """The page with another sequence number, and so with another checksum (RFC 3533)."""
        head = self.head[:18] + number.to_bytes(4, "little") + bytes(4) + self.head[26:]
        page = head + self.sizes + self.body
        return page[:22] + _checksum(page).to_bytes(4, "little") + page[26:]


def _checksum(content: bytes) -> int:
    """CRC-32 of Ogg: that of zlib with the bits the other way round, from 0 and not inverted."""
    mirrored = zlib.crc32(content.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def write(waves: Waves, label: Label, path: Path, rate: int) -> Path:
    """Write waves (samples, channels) at ``rate`` Hz. The label's ``sha256`` is that of all packets but the comment."""
    with encoded(waves, rate, VORBIS, path.suffix) as plain, staged(path) as file:
        packets, sound = _headers(plain)
        digest = _digest(plain, packets, sound)
        comment = vorbis_comment.packed(replace(label, sha256=digest))
        start, _ = _HEADS[packets[0][:7]]
        packets[1] = start + comment + b"\x01"
        plain.seek(0)
        serial = plain.read(18)[14:18]
        number = 0
        for page in _paged(packets, serial):
            file.write(page.numbered(number))
            number += 1
        for page in _pages(plain, sound):
            file.write(page.numbered(number))
            number += 1
    return path


def _paged(packets: list[bytes], serial: bytes) -> Iterator[Page]:
    """Header packets on pages: the first alone, the others behind each other, and the last ends a page."""
    for group in (packets[:1], packets[1:]):
        sizes = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in group)
        body, continued = b"".join(group), False
        for at in range(0, len(sizes), 255):
            part = sizes[at : at + 255]
            content, body = body[: sum(part)], body[sum(part) :]
            flags = (2 if group is not packets[1:] and packets[0] in group else 0) | continued
            ended = any(size < 255 for size in part)
            position = bytes(8) if ended else b"\xff" * 8  # −1: no packet ends here
            yield Page(
                b"OggS\0" + bytes([flags]) + position + serial + bytes(8) + bytes([len(part)]), part, content
            )
            continued = part[-1] == 255


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file:
        return carried(file)


def carried(file: BinaryIO) -> Label | None:
    """The label in an open Ogg."""
    try:
        packets, _ = _headers(file)
    except ValueError:
        return None
    start, _ = next(known for head, known in _HEADS.items() if packets[0].startswith(head))
    return vorbis_comment.label_in(packets[1][len(start) :])


def is_intact(path: Path, label: Label) -> bool:
    """Whether all packets but the comment are those of the label."""
    with open_regular(path) as file:
        return _digest(file, *_headers(file)) == label.sha256


def _digest(file: BinaryIO | IO[bytes], packets: list[bytes], sound: int) -> str:
    digest = hashlib.sha256(b"".join([packets[0], *packets[2:]]))
    for page in _pages(file, sound):
        digest.update(page.head[5:18] + page.sizes + page.body)  # all but the number and the checksum
    return digest.hexdigest()


def _headers(file: BinaryIO | IO[bytes]) -> tuple[list[bytes], int]:
    """The packets before the sound, and where the page after them begins; ``ValueError`` where they are not whole."""
    packets, current, at = list[bytes](), bytearray(), 0
    needed = 1
    for page in _pages(file, 0):
        at += len(page.head) + len(page.sizes) + len(page.body)
        place = 0
        for size in page.sizes:
            current += page.body[place : place + size]
            place += size
            if size < 255:
                packets.append(bytes(current))
                current.clear()
        if len(packets) == 1 and needed == 1:
            known = [value for head, value in _HEADS.items() if packets[0].startswith(head)]
            if not known:
                break
            needed = known[0][1]
        if len(packets) >= needed > 1:
            return packets[:needed], at
        if len(current) > _MOST_HEADER:
            break
    raise ValueError("no Ogg Vorbis")


def _pages(file: BinaryIO | IO[bytes], start: int) -> Iterator[Page]:
    """Each whole page from ``start`` on."""
    file.seek(start)
    while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
        sizes = file.read(head[26])
        body = file.read(sum(sizes))
        if len(sizes) < head[26] or len(body) < sum(sizes):
            return
        yield Page(head, sizes, body)
