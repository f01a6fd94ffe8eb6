"""PNG as the chunks that it is made of."""

import zlib
from collections.abc import Iterator

PNG_START = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
"""What decides about the pixels, and how they are turned."""


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(name, data, checksum) of each whole chunk."""
    at = len(PNG_START)
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 > len(content):
            return
        yield content[at + 4 : at + 8], content[at + 8 : end], content[end : end + 4]
        at = end + 4


def without_remarks(content: bytes) -> bytes:
    """The PNG without texts, color profiles and whatever else may be damaged or too long with the pixels being sound.

    A file that was cut short is returned as it is.
    """
    kept, last = [PNG_START], b""
    for name, data, checksum in png_chunks(content):
        last = name
        optional = name[:1].islower()  # the standard's mark of a chunk that may be left out
        if name in _KEPT and not (optional and zlib.crc32(name + data).to_bytes(4, "big") != checksum):
            kept += [len(data).to_bytes(4, "big"), name, data, checksum]
    return b"".join(kept) if last == b"IEND" else content
