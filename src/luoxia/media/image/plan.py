"""From what the user asks for, and what the headers say, to a conversion."""

import difflib
import operator
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from luoxia.core.errors import UsageError
from luoxia.media.image.convert import CROPS, Conversion, Crop, Header
from luoxia.media.image.ranges import ranges_of

Size = int | str | tuple[int, int]
"""Pixels a side, "HEIGHTxWIDTH" or (height, width)."""
MIN_SIDE, MAX_SIDE = 4, 1024
DEFAULT_MIN_SIDE, DEFAULT_MAX_SIDE = 16, 128  # what a laptop can train


@dataclass(frozen=True)
class Request:
    """A checked wish: height and width or None, channels or None, and the crop."""

    size: tuple[int, int] | None
    crop: Crop
    channels: int | None

    @classmethod
    def check(cls, size: Size | None, crop: str, channels: int | None) -> "Request":
        """Check what a user asks for, before any work.

        Raises:
            UsageError: a size out of 4 … 1024 or not understood, an unknown crop, channels out of 1 … 4.
        """
        if crop not in CROPS:
            close = difflib.get_close_matches(str(crop), CROPS, n=1)
            advice = f"did you mean {close[0]}?" if close else f"give {', '.join(CROPS[:-1])} or {CROPS[-1]}"
            raise UsageError(f"crop={crop} is unknown: {advice}")
        if channels is not None:
            channels = _channels(channels)
        return cls(None if size is None else _sides(size), cast(Crop, crop), channels)

    def resolve(self, headers: Sequence[Header]) -> Conversion:
        """Fill in what was not asked for from the ``headers`` (at least one) of the usable images."""
        height, width = self.size or _default_size(headers)
        channels = self.channels or (1 if all(header.gray for header in headers) else 3)
        ranges = ranges_of(header.depth for header in headers)
        return Conversion(height, width, channels, self.crop, ranges)


def _channels(channels: int) -> int:
    try:
        number = operator.index(channels)
    except TypeError:
        number = 0
    if number not in (1, 2, 3, 4):
        raise UsageError(
            f"channels={channels} is not possible: give 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA)"
        )
    return number


def _sides(size: Size) -> tuple[int, int]:
    """Height and width."""
    given: Any = size
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+)(?:\s*[xX×]\s*(\d+))?\s*", size, re.ASCII)
        given = match and (int(match[1]), int(match[2] or match[1]))
    try:
        height, width = map(operator.index, given if isinstance(given, Sequence) else (given, given))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"size={size} is not understood: give a number of pixels such as 64, or HEIGHTxWIDTH"
        ) from error
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in (height, width)):
        raise UsageError(
            f"size={spelled((height, width))} is out of range: give {MIN_SIDE} to {MAX_SIDE} pixels a side"
        )
    return height, width


def spelled(size: tuple[int, int]) -> str:
    """A size as it is written in a setting: 64, or 48x64."""
    height, width = size
    return str(height) if height == width else f"{height}x{width}"


def _default_size(headers: Sequence[Header]) -> tuple[int, int]:
    sizes = {(header.height, header.width) for header in headers}
    native = next(iter(sizes))
    if len(sizes) == 1 and min(native) >= MIN_SIDE and max(native) <= DEFAULT_MAX_SIDE:
        return native
    shorter = int(statistics.median_low(min(header.height, header.width) for header in headers))
    side = min(DEFAULT_MAX_SIDE, max(DEFAULT_MIN_SIDE, 1 << (shorter.bit_length() - 1)))
    return side, side
