"""Which numbers are black and white, in images of more than 8 bits a sample: decided once for a whole data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from luoxia.media.image.tiff import PHOTOMETRIC

USED = 0.1
"""Share of a usual range that the numbers must fill, to be taken as being in it."""
_USUAL: dict[str, tuple[tuple[float, float], ...]] = {
    "uint12": ((0, 4095),),
    "uint16": ((0, 65535),),
    "uint32": ((0, 255), (0, 65535)),
    "int8": ((-128, 127),),
    "int16": (),
    "int32": ((0, 255), (0, 65535)),
    "float32": ((0, 1), (-1, 1), (0, 255), (0, 65535)),
}
BITS, SAMPLE_FORMAT = 258, 339  # tags of TIFF
STATED = (
    (340, 341),
    (280, 281),
)  # the tags for the least and the greatest value, by type and as whole numbers
SIGNED, FLOAT = 2, 3


@dataclass(frozen=True)
class Depth:
    """The numbers of one image: their kind, and the least and the greatest of them.

    ``kind`` is a type of ``_USUAL``, with " inverted" where 0 is white, and with " stated" where the file itself says
    what its least and greatest number are.
    """

    kind: str
    low: float
    high: float


@dataclass(frozen=True)
class Range:
    """What is black and what is white (the other way round where the kind is inverted)."""

    kind: str
    black: float
    white: float


USUAL = Range("uint16", 0, 65535)
"""What is not worth a word."""


def depth_of(image: Image.Image) -> Depth | None:
    """The numbers of an image; None where they are bytes. Decodes it where they are not."""
    kind = _kind(image)
    if kind is None:
        return None
    values = _numbers(image, kind)
    finite = values[np.isfinite(values)] if kind.startswith("float") else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    stated = _stated(image)
    if stated is not None and stated[0] <= low and high <= stated[1]:
        return Depth(f"{kind} stated", *stated)
    return Depth(kind, low, high)


def ranges_of(depths: Iterable[Depth | None]) -> tuple[Range, ...]:
    """One range for each kind of numbers in a data set, but for the usual one of 16 bits."""
    extents: dict[str, tuple[float, float]] = {}
    for depth in depths:
        if depth is not None:
            low, high = extents.get(depth.kind, (depth.low, depth.high))
            extents[depth.kind] = min(low, depth.low), max(high, depth.high)
    found = (_range(kind, *extent) for kind, extent in sorted(extents.items()))
    return tuple(range_ for range_ in found if range_ != USUAL)


def in_words(ranges: Iterable[Range]) -> list[str]:
    """What a person should know of the ranges."""
    sentences = []
    for found in ranges:
        ends = (found.white, found.black) if "inverted" in found.kind else (found.black, found.white)
        sentences.append(
            f"images of {found.kind.split()[0]}: {ends[0]:g} is read as black, {ends[1]:g} as white"
        )
    return sentences


def to_bytes(image: Image.Image, ranges: Iterable[Range]) -> Image.Image:
    """The image in 8 bits, by the range of its kind; without one, by what is usual, or by its own numbers."""
    depth = depth_of(image)
    if depth is None:
        return image
    alone = USUAL if depth.kind == USUAL.kind else _range(depth.kind, depth.low, depth.high)
    found = {known.kind: known for known in ranges}.get(depth.kind, alone)
    values = np.nan_to_num(
        _numbers(image, depth.kind), nan=found.black, posinf=found.white, neginf=found.black
    )
    scaled = np.rint((values - found.black) / (found.white - found.black) * 255).clip(0, 255).astype(np.uint8)
    return Image.fromarray(255 - scaled if "inverted" in depth.kind else scaled)


def _range(kind: str, low: float, high: float) -> Range:
    if "stated" in kind:
        return Range(kind, low, high)
    for black, white in _USUAL[kind.split()[0]]:
        if black <= low and high <= white and (high - low >= USED * (white - black) or low == high):
            return Range(kind, black, white)
    return Range(kind, low, high if high > low else low + 1)


def _kind(image: Image.Image) -> str | None:
    tags: Any = getattr(image, "tag_v2", {})
    sample, bits = _first(tags, SAMPLE_FORMAT, 1), _first(tags, BITS, 16)
    if image.mode == "F":
        kind = "float32"
    elif image.mode.startswith("I;16"):
        kind = "uint12" if bits == 12 else "uint16"
    elif image.mode == "I":
        kind = f"int{bits}" if sample == SIGNED and bits in (16, 32) else "uint32" if bits == 32 else "uint16"
    elif image.mode == "L" and sample == SIGNED and bits == 8:
        kind = "int8"
    else:
        return None
    return (
        f"{kind} inverted" if _first(tags, PHOTOMETRIC, 1) == 0 else kind
    )  # which Pillow does for bytes only


def _numbers(image: Image.Image, kind: str) -> NDArray[Any]:
    """(height, width) as floats wide enough for the kind."""
    values = np.asarray(image)
    if kind.startswith("int8"):
        values = values.view(np.int8)
    elif kind.startswith("uint32"):
        values = values.view(np.uint32)
    return values.astype(np.float64 if "32" in kind and not kind.startswith("float") else np.float32)


def _stated(image: Image.Image) -> tuple[float, float] | None:
    tags: Any = getattr(image, "tag_v2", {})
    for least, greatest in STATED:
        if greatest in tags:
            low, high = _first(tags, least, 0), _first(tags, greatest, 0)
            if isinstance(low, int | float) and isinstance(high, int | float) and low < high:
                return float(low), float(high)
    return None


def _first(tags: Any, tag: int, default: float) -> Any:
    value = tags.get(tag, default)
    return value[0] if isinstance(value, tuple) and value else value
