"""A picture of generated samples beside their nearest training images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

WHITE = 255


def neighbor_grid(
    fake: NDArray[Any],
    real: NDArray[Any],
    pairs: Sequence[ArrayLike] | ArrayLike,
    *,
    columns: int = 4,
    gap: int = 2,
) -> NDArray[np.uint8]:
    """Draw a grid of pairs, generated | nearest training, uint8 (height, width, 3), on white.

    ``fake`` and ``real`` are uint8 (n, height, width, 1 to 4); ``pairs`` (k, 2) are an index into each. The
    two halves of a pair are ``gap`` pixels apart, pairs three times that; real images of another size are
    repeated or skipped by whole pixels to the size of the generated ones.
    """
    from luoxia.media.image.extractors.pixels import to_rgb

    chosen = np.asarray(pairs, np.int64).reshape(-1, 2)
    height, width = fake.shape[1:3]
    rows = max(1, -(-len(chosen) // columns))
    cell_height, cell_width = height + 3 * gap, 2 * width + 4 * gap
    picture = np.full((rows * cell_height + 3 * gap, columns * cell_width + 2 * gap, 3), WHITE, np.uint8)
    for place, (left, right) in enumerate(chosen):
        top = 3 * gap + place // columns * cell_height
        start = 3 * gap + place % columns * cell_width
        picture[top : top + height, start : start + width] = to_rgb(fake[left : left + 1])[0]
        other = _nearest_pixels(to_rgb(real[right : right + 1])[0], height, width)
        start += width + gap
        picture[top : top + height, start : start + width] = other
    return picture


def _nearest_pixels(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    resized: NDArray[Any] = image[rows][:, columns]
    return resized
