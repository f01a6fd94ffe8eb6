"""Small sounds, and files with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray


def tone(
    seconds: float = 0.5, rate: int = 8000, hz: float = 440.0, level: float = 0.3, channels: int = 1
) -> NDArray:
    """A sine (samples, channels), each channel half as loud as the one before."""
    t = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * t)[:, None] * 0.5 ** np.arange(channels)).astype(np.float32)


def noise(
    seconds: float = 0.5, rate: int = 8000, level: float = 0.1, channels: int = 1, seed: int = 0
) -> NDArray:
    """White noise (samples, channels)."""
    shape = round(seconds * rate), channels
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def save(path: Path, wave: NDArray, rate: int = 8000, **more: Any) -> Path:
    """Write a file, whatever its name says where ``format=`` is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        kind = more.pop("format", path.suffix[1:].upper())
        soundfile.write(file, wave, rate, format=kind, **more)
    return path
