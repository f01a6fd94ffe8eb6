"""Pictures as data URIs, small enough that a report stays one light file."""

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from luoxia.core.regular import bytes_of

_MOST_PIXELS = 64_000_000  # checked in the header, before anything is decoded
_T = TypeVar("_T")


@dataclass(frozen=True)
class Picture:
    """An image inside the page."""

    source: str  # a data URI
    width: int
    height: int


def embed(path: Path, side: int, allowance: int) -> Picture | None:
    """The image at ``path``, within ``side`` × ``side`` pixels and ``allowance`` bytes; None if unreadable.

    A file that is small enough already is kept byte for byte, with the labels it carries.
    """
    try:
        raw = bytes_of(path)
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            image.load()
            if len(raw) <= allowance and max(image.size) <= side:
                return _picture("png", raw, image.size)
            return _shrink(image.convert("L" if image.mode in ("1", "L") else "RGB"), side, allowance)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def spread(values: Sequence[_T], most: int) -> list[_T]:
    """At most ``most`` of ``values``, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _shrink(image: Image.Image, side: int, allowance: int) -> Picture:
    """Scale ``image`` down and compress it until it fits."""
    image.thumbnail((side, side), reducing_gap=2.0)
    while True:
        for quality in (88, 72):
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=quality)
            if stream.tell() <= allowance or max(image.size) < 64:
                return _picture("jpeg", stream.getvalue(), image.size)
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def _picture(kind: str, raw: bytes, size: tuple[int, int]) -> Picture:
    return Picture(f"data:image/{kind};base64,{b64encode(raw).decode('ascii')}", *size)
