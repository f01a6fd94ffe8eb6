"""The rule that turns any image into ``height × width × channels`` bytes.

In this order:

1. the first frame is read, and rotated as its EXIF orientation says; color profiles are not applied;
2. samples of 16 bits and more, signed ones and floats are scaled to 8 bits, by one range for the whole data set (see
   ``luoxia.media.image.ranges``; 0 … 65535 → 0 … 255); palettes, 1-bit, CMYK and other color spaces become gray
   or RGB; gray of RGB is ITU-R 601-2 luma;
3. transparency is kept for 2 channels (gray + alpha) and 4 (RGBA), and composited on white for
   1 (gray) and 3 (RGB);
4. ``crop``: "center" scales the image until it just covers the size, and cuts off the overhang evenly;
   "random" does the same at a place that depends on the file's name only; "pad" scales until the image just
   fits, and fills the rest with white (transparent white where there is an alpha channel);
5. scaling is Lanczos, antialiased. An image that has the size already keeps its pixels."""

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from luoxia.core.errors import UsageError
from luoxia.core.names import expanded
from luoxia.core.skips import Unusable
from luoxia.formats.png import PNG_START, without_remarks
from luoxia.media.image.ranges import Depth, Range, depth_of, to_bytes
from luoxia.media.image.tiff import PHOTOMETRIC, with_black_as_zero
from luoxia.media.kinds import HEAD_BYTES, ending_of, why_unread

Crop = Literal["center", "random", "pad"]


CROPS: tuple[str, ...] = get_args(Crop)


Result = TypeVar("Result")


Pixels = NDArray[np.uint8]


Payload = bytes | Pixels  # an encoded file, or pixels (height, width) or (height, width, channels)


MAX_PIXELS = 100_000_000  # of one image, checked in the header before anything is decoded


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "TGA", "JPEG2000", "AVIF", "QOI", "PCX")


JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F"})


ORIENTATION_TAG = 0x0112


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Conversion:
    """What every image of a data set is turned into."""

    height: int
    width: int
    channels: int
    crop: Crop
    ranges: tuple[Range, ...] = ()  # of numbers that are no bytes, but for the usual one


@dataclass(frozen=True)
class Header:
    """What is known of an image before it is decoded; the size is that after the EXIF rotation."""

    height: int
    width: int
    mode: str
    gray: bool
    depth: Depth | None = None  # where its numbers are no bytes; for this the image is decoded


def read_header(payload: Payload) -> Header:
    """Return the header of ``payload``; only images whose numbers are no bytes are decoded for it.

    Raises:
        Unusable: not an image, or one of more than ``MAX_PIXELS``.
    """
    return _whatever_is_remarked(payload, _header)


def _header(payload: Payload) -> Header:
    image = _open(payload)
    width, height = image.size
    if _orientation(image) >= 5:
        width, height = height, width
    mode, gray = image.mode, _is_gray(image)
    try:
        return Header(height, width, mode, gray, depth_of(image))
    except Exception as error:  # as in convert
        raise Unusable(f"cannot be decoded: {_words(error)}") from error


def _whatever_is_remarked(payload: Payload, work: Callable[[Payload], Result]) -> Result:
    """``work(payload)``; where that fails, that of a PNG without texts and color profiles, which never decide."""
    try:
        return work(payload)
    except Unusable:
        if not isinstance(payload, bytes) or not payload.startswith(PNG_START):
            raise
        return work(without_remarks(payload))


def convert(payload: Payload, name: str, to: Conversion) -> Pixels:
    """Return ``payload`` as uint8 (to.height, to.width, to.channels); ``name`` places a random crop.

    Raises:
        Unusable: not an image, too many pixels, corrupt or truncated.
    """
    if isinstance(payload, np.ndarray) and payload.shape == (to.height, to.width, to.channels):
        return payload
    return _whatever_is_remarked(payload, lambda content: _converted(content, name, to))


def _converted(payload: Payload, name: str, to: Conversion) -> Pixels:
    image = _open(payload)
    try:
        if image.format == "JPEG":  # decoding at a reduced scale, still twice the size that is needed
            side = 2 * max(to.height, to.width)
            image.draft(None, (side, side))
        orientation = _orientation(image)
        image = _flatten(to_bytes(image, to.ranges), to.channels)
        if orientation in TURNS:
            image = image.transpose(TURNS[orientation])
        image = _pad(image, to) if to.crop == "pad" else _cover(image, to, name)
    except Exception as error:  # Pillow's decoders raise nearly any type on corrupt files
        raise Unusable(f"cannot be decoded: {_words(error)}") from error
    return np.asarray(image).reshape(to.height, to.width, to.channels)


def decoded_bytes(header: Header, name: str, to: Conversion) -> int:
    """About the most memory that ``convert`` needs: eight bytes a pixel; JPEG is decoded at a reduced scale."""
    reduced = 1
    if ending_of(name) in JPEG:
        while reduced < 8 and min(header.height, header.width) >= 4 * reduced * max(to.height, to.width):
            reduced *= 2
    return 8 * header.height * header.width // reduced**2


def _open(payload: Payload) -> Image.Image:
    if isinstance(payload, np.ndarray):
        return Image.fromarray(payload[..., 0] if payload.shape[2:] == (1,) else payload)
    if not payload:
        raise Unusable("an empty file")
    try:
        image = _opened(payload)
    except UnidentifiedImageError as error:
        raise Unusable(why_unread(payload[:HEAD_BYTES]) or "not an image, whatever its name says") from error
    except Image.DecompressionBombError as error:
        raise Unusable(f"more than the limit of {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # as in convert
        raise Unusable(f"a damaged header: {_words(error)}") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unusable(f"{width} × {height} pixels, more than the limit of {MAX_PIXELS:,} in all")
    if width * height == 0:
        raise Unusable("no pixels")
    return image


def _opened(payload: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(payload), formats=FORMATS)
    except UnidentifiedImageError:
        turned = with_black_as_zero(payload)
        if turned is None:
            raise
    image = Image.open(io.BytesIO(turned), formats=FORMATS)
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    tags[PHOTOMETRIC] = 0  # as it was: luoxia.media.image.ranges turns it
    return image


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    if image.format in {None, "TIFF"}:
        return 1  # an array; or a format that Pillow rotates by itself
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole file to look for a late chunk
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # an image with damaged EXIF data is used all the same
        return 1


def _is_gray(image: Image.Image) -> bool:
    if image.mode in {"P", "PA"} and image.palette is not None and image.palette.mode == "RGB":
        colors = np.frombuffer(bytes(image.palette.palette), np.uint8)
        colors = colors[: len(colors) // 3 * 3].reshape(-1, 3)
        return bool((colors == colors[:, :1]).all())
    return image.mode in GRAY_MODES or image.mode.startswith("I;16")


def _flatten(image: Image.Image, channels: int) -> Image.Image:
    mode = MODES[channels]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels in (1, 3):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    elif image.mode not in {"L", "RGB"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == mode else image.convert(mode)


def _cover(image: Image.Image, to: Conversion, name: str) -> Image.Image:
    scale = max(to.width / image.width, to.height / image.height)
    width, height = to.width / scale, to.height / scale  # of the part that is kept, in source pixels
    across, down = _random_place(name) if to.crop == "random" else (0.5, 0.5)
    left, top = int((image.width - width) * across), int((image.height - height) * down)
    return _resize(image, to.width, to.height, (left, top, left + width, top + height))


def _pad(image: Image.Image, to: Conversion) -> Image.Image:
    scale = min(to.width / image.width, to.height / image.height)
    width = max(1, min(to.width, round(image.width * scale)))
    height = max(1, min(to.height, round(image.height * scale)))
    small = _resize(image, width, height, (0, 0, image.width, image.height))
    white: Any = {"L": 255, "LA": (255, 0), "RGB": (255, 255, 255), "RGBA": (255, 255, 255, 0)}[image.mode]
    canvas = Image.new(image.mode, (to.width, to.height), white)
    canvas.paste(small, ((to.width - width) // 2, (to.height - height) // 2))
    return canvas


def _resize(
    image: Image.Image, width: int, height: int, box: tuple[float, float, float, float]
) -> Image.Image:
    # The gap lets Pillow shrink large images cheaply first; from 3.0 on that is said to be invisible.
    right, bottom = min(box[2], image.width), min(box[3], image.height)  # rounding may overshoot by a hair
    return image.resize(
        (width, height), Image.Resampling.LANCZOS, (box[0], box[1], right, bottom), reducing_gap=3.0
    )


def _random_place(name: str) -> tuple[float, float]:
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:4], "little") / 2**32, int.from_bytes(digest[4:8], "little") / 2**32


def image_bytes(path: str | os.PathLike[str]) -> bytes:
    """What an image file holds; ``UsageError`` where it cannot be read."""
    try:
        return expanded(path).read_bytes()
    except OSError as error:
        raise UsageError(f"image {path} cannot be read: {error.strerror}") from error


def one_image(
    content: bytes, path: str | os.PathLike[str], height: int, width: int, channels: int
) -> NDArray[np.uint8]:
    """One image, cut to the middle, as a data set's would be: uint8 (height, width, channels).

    ``UsageError`` for what is not an image.
    """
    try:
        return convert(content, Path(path).name, Conversion(height, width, channels, "center"))
    except Unusable as verdict:
        raise UsageError(f"image {path} cannot be used: {verdict}") from verdict
