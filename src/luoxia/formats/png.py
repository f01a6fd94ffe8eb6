"""PNG: the label is the text chunk ``luoxia``."""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from luoxia.core.files import staged, to_json
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import KEY, MAX_BYTES, unpacked
from luoxia.provenance.label import Label

PNG_START = b"\x89PNG\r\n\x1a\n"
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
"""What decides about the pixels, and how they are turned."""


def write(image: NDArray[np.uint8], label: Label, path: Path) -> Path:
    """Write one image (h, w, 1 to 4). The label's ``sha256`` is that of the pixels, so that an edit is noticed."""
    info = PngInfo()
    info.add_text("Software", f"{label.system} {label.version}")
    info.add_itxt(KEY, to_json(replace(label, sha256=_digest(image)).as_dict()))
    with staged(path) as file:
        to_pillow(image).save(file, "PNG", pnginfo=info)
    return path


def to_pillow(image: NDArray[np.uint8]) -> Image.Image:
    """One image (h, w, 1 to 4) as Pillow's."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image, MODES[image.shape[-1]])


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file:
        return carried(file)


def carried(file: BinaryIO) -> Label | None:
    """The label in an open PNG."""
    if file.read(len(PNG_START)) != PNG_START:
        return None
    for name, start, size in chunks(file):
        if name in (b"iTXt", b"tEXt"):
            file.seek(start)
            content = file.read(min(size, MAX_BYTES + 2**10))
            keyword, _, text = content.partition(b"\0")
            if keyword == KEY.encode():
                return unpacked(_international(text) if name == b"iTXt" else text, ours=True)
    return None


def _international(content: bytes) -> bytes:
    """The text of an iTXt chunk after its keyword: compression, language, translated keyword, text."""
    *_, text = content[2:].split(b"\0", 2)
    if content[:1] != b"\x01":
        return text
    try:
        return zlib.decompressobj().decompress(text, MAX_BYTES + 1)
    except zlib.error:
        return b""  # no JSON: the label is damaged


def is_intact(path: Path, label: Label) -> bool:
    """Whether the pixels are those of the label, and no EXIF turns them."""
    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=["PNG"]) as image:
                return not image.getexif() and _digest(np.asarray(image)) == label.sha256
        except Image.DecompressionBombError:
            return False


def _digest(array: NDArray[np.uint8]) -> str:
    """SHA-256 of the shape, where one channel is as none, and of the values."""
    height, width, *channels = array.shape
    size = f"{height} {width} {channels[0] if channels else 1} "
    return hashlib.sha256(size.encode() + array.tobytes()).hexdigest()


# ------------------------------------------------------------------ chunks


def chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(name, where its data begins, size of its data) of each whole chunk."""
    end, at = file.seek(0, io.SEEK_END), len(PNG_START)
    while at + 12 <= end:
        file.seek(at)
        head = file.read(8)
        size = int.from_bytes(head[:4], "big")
        if at + 12 + size > end:
            return
        yield head[4:], at + 8, size
        at += 12 + size


def without_remarks(content: bytes) -> bytes:
    """The PNG without texts, color profiles and whatever else may be damaged or too long with the pixels being sound.

    A file that was cut short is returned as it is.
    """
    kept, last = [PNG_START], b""
    for name, start, size in chunks(io.BytesIO(content)):
        last, end = name, start + size
        optional = name[:1].islower()  # the standard's mark of a chunk that may be left out
        checksum = zlib.crc32(content[start - 4 : end]).to_bytes(4, "big")
        if name in _KEPT and not (optional and checksum != content[end : end + 4]):
            kept.append(content[start - 8 : end + 4])
    return b"".join(kept) if last == b"IEND" else content
