"""The tokens of a data set's images and of shifted views of them, encoded once and kept in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.cache import cache_folder, entry_of
from luoxia.core.names import many
from luoxia.core.order import generator_for

VERSION = 1  # raise it when views become others
CHUNK = 512
"""Images encoded together."""
Tokens = NDArray[Any]
Pixels = NDArray[np.uint8]


def view(images: Pixels, number: int, shift: int, mirror: bool, first: int = 0) -> Pixels:
    """View ``number`` of images (n, h, w, c), of which the first is image ``first``: 0 is the image itself.

    The others are moved by up to ``shift`` pixels, the uncovered part repeating the border, and with ``mirror`` half of
    them are turned around. Each is a function of (image number, view number).
    """
    if number == 0:
        return images
    n, height, width = images.shape[:3]
    keys = [generator_for("view", number, first + i).random_raw(3) for i in range(n)]
    draws: NDArray[np.int64] = np.array(keys, np.uint64).astype(np.int64) & (2**62 - 1)  # (n, 3)
    rows, columns = (
        np.clip(draws[:, axis, None] % (2 * shift + 1) - shift + np.arange(side), 0, side - 1)
        for axis, side in ((0, height), (1, width))
    )
    columns = np.where(mirror & (draws[:, 2:] % 2 == 1), columns[:, ::-1], columns)
    made: Pixels = images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return made


def token_views(
    codec: Any,
    images: Any,
    fingerprint: str,
    *,
    views: int,
    shift: int,
    mirror: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Tokens:
    """Tokens of all views of ``images`` uint8 (n, h, w, c): (views, n, places, codebooks), of the smallest type.

    ``codec`` has ``encode`` and ``fingerprint``; ``fingerprint`` is that of the images. The cache knows tokens by both,
    so that those of another codec, or of one that was trained further, are never taken for these. ``tell`` hears it
    where they must be made.
    """
    key = repr((VERSION, codec.fingerprint, fingerprint, len(images), views, shift, mirror))
    entry = cache_folder() / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:32]
    shape = (views, len(images), *_places(codec, images))
    kind = np.min_scalar_type(max(codec.vocabulary - 1, 1))

    def build(folder: Path) -> None:
        tell(f"encoding {many(len(images), 'image')}" + f", {views} views of each" * (views > 1))
        tokens = np.empty(shape, kind)
        for number in range(views):
            for first in range(0, len(images), CHUNK):
                part = view(np.asarray(images[first : first + CHUNK]), number, shift, mirror, first)
                tokens[number, first : first + CHUNK] = codec.encode(part).flatten(1, 2).numpy()
        np.save(folder / "tokens.npy", tokens)

    def read(folder: Path) -> Tokens:
        tokens: Tokens = np.load(folder / "tokens.npy", mmap_mode="r", allow_pickle=False)
        if tokens.shape != shape or tokens.dtype != kind or int(tokens.max(initial=0)) >= codec.vocabulary:
            raise ValueError("tokens of another shape")
        return tokens

    return entry_of(entry, read, build)


def _places(codec: Any, images: Any) -> tuple[int, int]:
    """Places of an image's grid, and codebooks."""
    rows, columns = codec.grid(*images.shape[1:3])
    return rows * columns, codec.codebooks
