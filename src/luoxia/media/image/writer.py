"""Generated images leave through here, as they are made: grids, folders, arrays, animations, with their labels.

``Images`` may be one array, or chunks of arrays as they are generated: what is written is the same, and memory holds
one chunk (of a grid the sheet).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.formats import gif, npz, png
from luoxia.formats.registry import read_label
from luoxia.provenance.label import Label

Images = NDArray[np.uint8]
"""(n, height, width, channels), 1 to 4 channels."""
Chunks = Images | Iterable[Images]
"""All at once, or so many at a time."""

LARGEST = 89_478_485
"""Pixels of a sheet at most: readers of images take a larger one for an attack."""
TILE = 56
"""Images on a sheet are enlarged to about this."""


def chunks(images: Chunks) -> Iterator[Images]:
    """The images, some at a time."""
    return iter([images]) if isinstance(images, np.ndarray) else iter(images)


def singly(images: Chunks, side: int = 1) -> Iterator[Images]:
    """One image (h, w, c) after the other, enlarged to about ``side``."""
    return (image for chunk in chunks(images) for image in enlarge(chunk, side))


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


def write_grid(
    path: Path, images: Chunks, label: Label, columns: int | None = None, n: int | None = None
) -> Path:
    """Write images as one sheet, small ones enlarged; ``n``: how many, where they come in chunks."""
    many = len(images) if isinstance(images, np.ndarray) else n
    tiles = (enlarge(chunk, TILE) for chunk in chunks(images))
    return png.write(grid(tiles, columns, many), label, path)


def write_folder(path: Path, images: Chunks, label: Label) -> Path:
    """Write each image as NUMBER.png in a folder, with that number as its label's ``index``.

    Images of an earlier and longer writing are removed: those whose own label has a higher number.
    """
    written = 0
    for image in singly(images):
        png.write(image, replace(label, index=written), path / f"{written:06d}.png")
        written += 1
    for old in path.glob("*.png"):
        index = getattr(read_label(old), "index", None)
        if index is not None and index >= written and old.name == f"{index:06d}.png":
            old.unlink()
    return path


def write_npz(
    path: Path, images: Chunks, labels: NDArray[np.int64] | None, label: Label, n: int | None = None
) -> Path:
    """Write ``images`` uint8 (n, h, w, c), and ``labels`` (n,), the classes, where there are any.

    ``n``: how many, where they come in chunks.
    """
    several = chunks(images)
    first = next(several)
    shape = (len(images) if isinstance(images, np.ndarray) else n or 0, *first.shape[1:])
    rows = npz.Rows(shape, first.dtype, itertools.chain([first], several))
    return npz.write({"images": rows, **({} if labels is None else {"labels": labels})}, label, path)


def write_gif(path: Path, frames: Chunks, label: Label, milliseconds: int = 60) -> Path:
    """Write frames (n, h, w, c) as a looping animation, small ones enlarged."""
    return gif.write(singly(frames, 168), label, path, milliseconds)


def write_mp4(path: Path, frames: Chunks, label: Label, fps: float = 24.0) -> Path:
    """Write frames (n, h, w, c) as a video, small ones enlarged: players smooth them; see ``mp4.write``."""
    from luoxia.formats import mp4

    return mp4.write(singly(frames, 256), label, path, fps)
