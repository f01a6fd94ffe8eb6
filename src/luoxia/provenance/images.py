"""Generated images leave through here: grids, folders, arrays and animations, each with its parameters inside."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from luoxia import __version__
from luoxia.errors import UsageError
from luoxia.provenance.files import write_file

Images = NDArray[np.uint8]
"""(n, height, width, channels), 1 to 4 channels."""

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def grid(images: Images, columns: int | None = None, gap: int = 2, background: int = 255) -> Images:
    """Lay n images out in rows: (n, h, w, c) → (H, W, c); about square unless ``columns`` is given."""
    n, h, w, c = images.shape
    columns = columns or math.ceil(math.sqrt(n * h / w))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, c), background, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        sheet[top : top + h, left : left + w] = image
    return sheet


def enlarge(images: Images, side: int) -> Images:
    """Repeat pixels until the shorter side is at least about ``side``: small images stay sharp on a screen."""
    factor = max(1, round(side / min(images.shape[-3:-1])))
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def to_pillow(image: Images) -> Image.Image:
    """One image (h, w, c) as Pillow's."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image, MODES[image.shape[-1]])


def png_bytes(image: Images, parameters: dict[str, Any]) -> bytes:
    """One image (h, w, c) as a PNG that carries ``parameters`` as JSON in the text field ``luoxia``."""
    info = PngInfo()
    info.add_text("Software", f"Luoxia {__version__}")
    info.add_itxt("luoxia", json.dumps(parameters, ensure_ascii=False))
    buffer = io.BytesIO()
    to_pillow(image).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def write_png(path: Path, image: Images, parameters: dict[str, Any]) -> Path:
    """Write one image (h, w, c)."""
    return write_file(path, png_bytes(image, parameters))


def write_grid(path: Path, images: Images, parameters: dict[str, Any], columns: int | None = None) -> Path:
    """Write n images as one sheet, small ones enlarged."""
    tiles = enlarge(images, 56)
    return write_png(path, grid(tiles, columns), parameters)


def write_folder(path: Path, images: Iterable[Images], parameters: Iterable[dict[str, Any]]) -> Path:
    """Write each image as NUMBER.png in a folder; higher numbers, of an earlier and longer writing, are removed."""
    written = 0
    for number, (image, own) in enumerate(zip(images, parameters, strict=True)):
        write_png(path / f"{number:06d}.png", image, own)
        written = number + 1
    for old in path.glob("[0-9]" * 6 + ".png"):
        if int(old.stem) >= written:
            old.unlink()
    return path


def write_npz(
    path: Path, images: Images, labels: NDArray[np.int64] | None, parameters: dict[str, Any]
) -> Path:
    """Write ``images`` uint8 (n, h, w, c), ``labels`` (n,) where there are any, and ``parameters`` as JSON."""
    own = {} if labels is None else {"labels": labels}
    return write_arrays(path, {"images": images, **own}, parameters)


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]], parameters: dict[str, Any]) -> Path:
    """Write named arrays as an .npz, with ``parameters`` as JSON."""
    buffer = io.BytesIO()
    told: Any = np.array(json.dumps(parameters, ensure_ascii=False))
    np.savez_compressed(buffer, allow_pickle=False, **arrays, parameters=told)
    return write_file(path, buffer.getvalue())


def write_gif(path: Path, frames: Images, parameters: dict[str, Any], milliseconds: int = 60) -> Path:
    """Write frames (n, h, w, c) as a looping animation, its parameters in the comment."""
    pictures = [
        to_pillow(frame).convert("P" if frame.shape[-1] > 1 else "L") for frame in enlarge(frames, 168)
    ]
    buffer = io.BytesIO()
    comment = json.dumps(parameters, ensure_ascii=True).encode()
    pictures[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
        comment=comment,
    )
    return write_file(path, buffer.getvalue())


def read_parameters(path: Path) -> dict[str, Any]:
    """The parameters inside a PNG or GIF that Luoxia wrote; ``UsageError`` when there are none."""
    try:
        with Image.open(path) as image:
            text = image.info.get("luoxia") or image.info.get("comment")
        parameters = json.loads(text) if text else None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not isinstance(parameters, dict):
        raise UsageError(f"{path} carries no parameters of Luoxia's")
    return parameters
