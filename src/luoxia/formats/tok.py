"""TOK: the tokens of one file on a grid, each in as few bits as the codec's vocabulary needs.

Layout, numbers little-endian: magic ``LXTK``, version (1 byte), axes of the grid a, codebooks, bits a token (1 byte
each), the first 8 bytes of the codec's fingerprint, then for each axis the length (4 bytes) and what is cut from its
last cell (1 byte); the tokens, row by row, each with its highest bit first, filled up to a byte with zeros; and CRC-32
of all before it (4 bytes). The label lies beside it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.core.regular import open_regular
from luoxia.formats import sidecar
from luoxia.provenance.label import Label

read_label = sidecar.read_label
is_intact = sidecar.is_intact

MAGIC, VERSION = b"LXTK", 1
MOST_AXES = 3
MOST_BYTES = 2**28
"""Of a file that is read, at most."""
_START = struct.Struct("<4s4B8s")
_AXIS = struct.Struct("<IB")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class TokenGrid:
    """The tokens of one sample (*grid, codebooks), and how much of the last cell of each axis is not the sample's."""

    tokens: NDArray[Any]
    cut: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """The grid's lengths."""
        return tuple(self.tokens.shape[:-1])


def bits_of(vocabulary: int) -> int:
    """Bits of a token: ⌈log₂ vocabulary⌉, one at least.

    >>> bits_of(1000), bits_of(1024), bits_of(1025)
    (10, 10, 11)
    """
    return max(1, (vocabulary - 1).bit_length())


def smallest(vocabulary: int) -> np.dtype[Any]:
    """The smallest unsigned type that holds every token."""
    return np.dtype(next(kind for kind in ("u1", "u2", "u4", "u8") if vocabulary - 1 <= np.iinfo(kind).max))


def pack(own: TokenGrid, vocabulary: int, fingerprint: str) -> bytes:
    """The content of a file."""
    bits, (*grid, books) = bits_of(vocabulary), own.tokens.shape
    head = _START.pack(MAGIC, VERSION, len(grid), books, bits, bytes.fromhex(fingerprint[:16]))
    head += b"".join(_AXIS.pack(length, cut) for length, cut in zip(grid, own.cut, strict=True))
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    digits = (own.tokens.reshape(-1, 1).astype(np.uint64) >> shifts) & np.uint64(1)
    content = head + np.packbits(digits.astype(np.uint8).reshape(-1)).tobytes()
    return content + _CRC.pack(zlib.crc32(content))


def unpack(content: bytes) -> tuple[TokenGrid, int, str]:
    """The tokens (*grid, codebooks) in a file's content, bits a token, and 16 digits of the codec's fingerprint.

    Raises:
        ValueError: it is another file, or damaged; nothing is allocated by what it claims.
    """
    if len(content) < _START.size + _CRC.size or not content.startswith(MAGIC):
        raise ValueError("it is not a file of tokens")
    _, version, axes, books, bits, digest = _START.unpack_from(content)
    if version != VERSION:
        raise ValueError(f"it has version {version}, and this Luoxia reads {VERSION}: upgrade luoxia")
    if not (1 <= axes <= MOST_AXES and books and 1 <= bits <= 62):
        raise ValueError("its header is damaged")
    start = _START.size + axes * _AXIS.size
    if len(content) < start + _CRC.size:
        raise ValueError("it is cut short")
    places = [_AXIS.unpack_from(content, _START.size + axis * _AXIS.size) for axis in range(axes)]
    grid = tuple(length for length, _ in places)
    count = prod(grid) * books
    if count == 0 or len(content) != start + -(-count * bits // 8) + _CRC.size:
        raise ValueError("its size is not that of the grid in its header: it is cut short or damaged")
    if _CRC.unpack(content[-_CRC.size :])[0] != zlib.crc32(content[: -_CRC.size]):
        raise ValueError("its checksum is wrong: it was changed or damaged")
    packed = np.frombuffer(content, np.uint8, offset=start, count=len(content) - start - _CRC.size)
    digits = np.unpackbits(packed, count=count * bits).reshape(count, bits).astype(np.int64)
    tokens = digits @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))
    return TokenGrid(tokens.reshape(*grid, books), tuple(cut for _, cut in places)), bits, digest.hex()


def write(own: TokenGrid, vocabulary: int, fingerprint: str, label: Label, path: Path) -> Path:
    """Write the tokens of one sample."""
    return sidecar.write(pack(own, vocabulary, fingerprint), label, path)


def read(path: Path) -> tuple[TokenGrid, int, str]:
    """``unpack`` of a file.

    Raises:
        LuoxiaError: it cannot be read, holds something else, or is damaged.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 2**20} MiB")
        return unpack(content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LuoxiaError(f"{path} cannot be read: {reason}") from error
