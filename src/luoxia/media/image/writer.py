"""Generated images leave through here, as they are made: grids, folders, arrays, animations, with their parameters.

``Images`` may be one array, or chunks of arrays as they are generated: what is written is the same, and memory holds
one chunk (of a grid the sheet).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image
from PIL.PngImagePlugin import PngInfo

from luoxia import __version__
from luoxia.core.errors import UsageError
from luoxia.core.files import staged, to_json

Images = NDArray[np.uint8]
"""(n, height, width, channels), 1 to 4 channels."""
Chunks = Images | Iterable[Images]
"""All at once, or so many at a time."""

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
LARGEST = 89_478_485
"""Pixels of a sheet at most: readers of images take a larger one for an attack."""
TILE = 56
"""Images on a sheet are enlarged to about this."""


def chunks(images: Chunks) -> Iterator[Images]:
    """The images, some at a time."""
    return iter([images]) if isinstance(images, np.ndarray) else iter(images)


def grid(
    images: Chunks, columns: int | None = None, n: int | None = None, gap: int = 2, background: int = 255
) -> Images:
    """Lay n images out in rows: (n, h, w, c) → (H, W, c); about square unless ``columns`` is given.

    ``n``: how many, where they come in chunks.
    """
    several = chunks(images)
    first = next(several)
    many = len(images) if isinstance(images, np.ndarray) else n
    assert many is not None
    _, h, w, c = first.shape
    columns = columns or _columns(many, h, w)
    sheet = np.full((*_sheet_size(many, h, w, columns, gap), c), background, dtype=np.uint8)
    laid = (image for chunk in itertools.chain([first], several) for image in chunk)
    for i, image in enumerate(laid):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    return sheet


def _columns(n: int, h: int, w: int) -> int:
    return math.ceil(math.sqrt(n * h / w))


def _sheet_size(n: int, h: int, w: int, columns: int, gap: int = 2) -> tuple[int, int]:
    return math.ceil(n / columns) * (h + gap) + gap, columns * (w + gap) + gap


def check_grid(n: int, shape: tuple[int, int, int], columns: int | None = None) -> None:
    """``UsageError`` for more images of this shape (h, w, c) than a sheet can hold: said before they are made."""
    height, width, _ = shape
    factor = _factor(height, width, TILE)
    h, w = height * factor, width * factor
    rows, across = _sheet_size(n, h, w, columns or _columns(n, h, w))
    if rows * across > LARGEST:
        raise UsageError(
            f"a sheet of {n:,} images of {height} × {width} would have {rows:,} × {across:,} pixels, and what reads "
            f"images takes {LARGEST // 10**6} million: ask for fewer, or set out=FOLDER/ or out=FILE.npz"
        )


def enlarge(images: Images, side: int) -> Images:
    """Repeat pixels until the shorter side is at least about ``side``: small images stay sharp on a screen."""
    height, width = images.shape[-3:-1]
    factor = _factor(height, width, side)
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def _factor(height: int, width: int, side: int) -> int:
    return max(1, round(side / min(height, width)))


def to_pillow(image: Images) -> Image.Image:
    """One image (h, w, c) as Pillow's."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image, MODES[image.shape[-1]])


def write_png(path: Path, image: Images, parameters: dict[str, Any]) -> Path:
    """Write one image (h, w, c) as a PNG that carries ``parameters`` as JSON in the text field ``luoxia``.

    There, ``sha256`` is that of the pixels, so that a change by hand is seen.
    """
    info = PngInfo()
    info.add_text("Software", f"Luoxia {__version__}")
    info.add_itxt("luoxia", to_json({**parameters, "sha256": _digest(image)}))
    with staged(path) as file:
        to_pillow(image).save(file, "PNG", pnginfo=info)
    return path


def write_grid(
    path: Path,
    images: Chunks,
    parameters: dict[str, Any],
    columns: int | None = None,
    n: int | None = None,
) -> Path:
    """Write images as one sheet, small ones enlarged; ``n``: how many, where they come in chunks."""
    many = len(images) if isinstance(images, np.ndarray) else n
    tiles = (enlarge(chunk, TILE) for chunk in chunks(images))
    return write_png(path, grid(tiles, columns, many), parameters)


def write_folder(path: Path, images: Chunks, parameters: Iterable[dict[str, Any]]) -> Path:
    """Write each image as NUMBER.png in a folder, its ``parameters`` with that number as ``index``.

    Images of an earlier and longer writing are removed: those whose own label has a higher number.
    """
    written = 0
    for image, own in zip((image for chunk in chunks(images) for image in chunk), parameters, strict=True):
        write_png(path / f"{written:06d}.png", image, own)
        written += 1
    for old in path.glob("*.png"):
        with contextlib.suppress(UsageError):
            index = read_parameters(old).get("index")
            if isinstance(index, int) and index >= written and old.name == f"{index:06d}.png":
                old.unlink()
    return path


def write_npz(
    path: Path,
    images: Chunks,
    labels: NDArray[np.int64] | None,
    parameters: dict[str, Any],
    n: int | None = None,
) -> Path:
    """Write ``images`` uint8 (n, h, w, c), ``labels`` (n,) where there are any, and ``parameters`` as JSON.

    ``n``: how many, where they come in chunks.
    """
    own = {} if labels is None else {"labels": labels}
    several = chunks(images)
    first = next(several)
    shape = (len(images) if isinstance(images, np.ndarray) else n, *first.shape[1:])
    with _npz(path, parameters, own) as write:
        write("images", shape, first.dtype, itertools.chain([first], several))
    return path


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]], parameters: dict[str, Any]) -> Path:
    """Write named arrays as an .npz, with ``parameters`` as JSON."""
    with _npz(path, parameters, arrays):
        return path


@contextlib.contextmanager
def _npz(path: Path, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Iterator[Any]:
    """An .npz of these arrays, and before them one whose rows come in pieces: ``write(name, shape, dtype, pieces)``."""
    with staged(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as container:

        def write(
            name: str, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterable[NDArray[Any]]
        ) -> None:
            told = {
                "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape
            }  # fmt: skip
            with container.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, told)
                for piece in pieces:
                    member.write(np.ascontiguousarray(piece).tobytes())

        yield write
        label = np.array(to_json(parameters))
        for name, array in {**arrays, "parameters": label}.items():
            write(name, array.shape, array.dtype, [array])


def write_gif(path: Path, frames: Chunks, parameters: dict[str, Any], milliseconds: int = 60) -> Path:
    """Write frames (n, h, w, c) as a looping animation, its parameters in the comment."""
    told = {"comment": json.dumps(parameters).encode(), "loop": 0, "duration": milliseconds}
    with staged(path) as file:
        for number, frame in enumerate(frame for chunk in chunks(frames) for frame in enlarge(chunk, 168)):
            picture = to_pillow(frame).convert("P" if frame.shape[-1] > 1 else "L")
            header, _ = GifImagePlugin.getheader(picture, info=dict(told))  # shortens the palette, too
            image = GifImagePlugin.getdata(picture, duration=milliseconds, include_color_table=number > 0)
            file.writelines([*(header if number == 0 else []), *image])
        file.write(b";")
    return path


def read_parameters(path: Path) -> dict[str, Any]:
    """The parameters inside a PNG or GIF that Luoxia wrote; ``UsageError`` when there are none."""
    parameters, _ = _label(path)
    parameters.pop("sha256", None)
    return parameters


def is_as_written(path: Path) -> bool:
    """Whether a PNG has the pixels of its label, which had no digest of them at first; ``UsageError`` without one."""
    parameters, digest = _label(path, decode=True)
    return parameters.get("sha256") in (None, digest)


def _digest(array: NDArray[np.uint8]) -> str:
    """SHA-256 of the shape, where one channel is as none, and of the values."""
    height, width, *channels = array.shape
    size = f"{height} {width} {channels[0] if channels else 1} "
    return hashlib.sha256(size.encode() + array.tobytes()).hexdigest()


def _label(path: Path, *, decode: bool = False) -> tuple[dict[str, Any], str]:
    """The label; and with ``decode`` the digest of the pixels, "" where EXIF may turn them."""
    digest = ""
    try:
        with Image.open(path) as image:
            text = image.info.get("comment" if image.format == "GIF" else "luoxia")
            if decode and not image.getexif():
                digest = _digest(np.asarray(image))
        parameters = json.loads(text) if text else None
    except (OSError, ValueError, SyntaxError, RecursionError, Image.DecompressionBombError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(parameters, dict):
        raise UsageError(f"{path} carries no parameters of Luoxia's")
    return parameters, digest
