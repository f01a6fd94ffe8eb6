"""Rows in chunks of one size, always: kernels round differently for other batch sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 64
"""Images computed together."""


def padded(x: Tensor) -> Tensor:
    """At most ``CHUNK`` rows → ``CHUNK``, the first repeated at the end."""
    missing = CHUNK - len(x)
    return torch.cat([x, x[:1].expand(missing, *x.shape[1:])]) if missing else x


def regrouped(pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same rows, ``CHUNK`` at a time."""
    held: list[Tensor] = []
    for piece in pieces:
        held.append(piece)
        while sum(map(len, held)) >= CHUNK:
            rows = torch.cat(held)
            yield rows[:CHUNK]
            held = [rows[CHUNK:]]
    rows = torch.cat(held)
    if len(rows):
        yield rows


def joined(chunks: Iterable[NDArray[np.uint8]], n: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """N images in one array, (n, height, width, channels)."""
    images, done = np.empty((n, *shape), np.uint8), 0
    for chunk in chunks:
        images[done : done + len(chunk)] = chunk
        done += len(chunk)
    return images
