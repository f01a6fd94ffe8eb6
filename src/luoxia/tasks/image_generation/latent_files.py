"""Latents that were written to be used again: what ``luoxia project`` finds."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.tasks.image_generation.model import ImageGenerator


def read_points(path: Path, generator: ImageGenerator) -> tuple[Tensor, Tensor | None]:
    """Points of the generator's ``space`` (n, …), and their labels (n,) of a conditional one.

    The file holds an array ``z`` or ``w``, and ``labels``. ``UsageError`` for what is none, or of another model.
    """
    name, shape = generator.space.name, generator.space.shape()
    held = _arrays(path, (name, "labels"))
    values = held.get(name)
    if values is None or values.shape[1:] != shape or values.dtype.kind != "f" or len(values) == 0:
        sizes = " × ".join(map(str, ("n", *shape)))
        raise UsageError(
            f"latents={path} holds no latents of this model: they are an array {name} of {sizes}"
        )
    labels = held.get("labels")
    if not generator.conditional or labels is None:
        return torch.from_numpy(values).float(), None
    known = range(len(generator.classes))
    if (
        labels.dtype.kind not in "iu"
        or labels.shape != (len(values),)
        or not set(labels.tolist()) <= set(known)
    ):
        raise UsageError(f"latents={path} holds labels that are no classes of this model")
    return torch.from_numpy(values).float(), torch.from_numpy(labels).long()


MOST = 2**28
"""Bytes of an array that are read at most, whatever a file says."""
UNREADABLE = (
    OSError, ValueError, EOFError, MemoryError, OverflowError, RecursionError, RuntimeError, NotImplementedError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What a damaged or hostile file brings about."""


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """These arrays, as far as the file has them."""
    try:
        with zipfile.ZipFile(path) as file:
            members = {name: f"{name}.npy" for name in names if f"{name}.npy" in file.namelist()}
            return {name: _array(file, member) for name, member in members.items()}
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or "it is not an .npz of luoxia project"
        raise UsageError(f"latents={path} cannot be read: {reason}") from error


def _array(file: zipfile.ZipFile, member: str) -> Any:
    with file.open(member) as packed:
        content = packed.read(MOST + 1)
    if len(content) > MOST:
        raise ValueError("an array is larger than a file of latents can be")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
