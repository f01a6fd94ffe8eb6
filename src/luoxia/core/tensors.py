"""Tensors in files."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor


def store(tensors: dict[str, Tensor], path: Path) -> None:
    """One safetensors file; ``OSError`` for a full disk too, of which the library tells in its own way."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    path.chmod(
        path.parent.stat().st_mode & 0o666
    )  # the library's file is its owner's alone; a model is shared
