"""What one look at a sound tells: it is decoded once, and what is wrong with it is noted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.skips import Unusable
from luoxia.formats import flac, mp3, ogg, wav
from luoxia.media.audio.decode import Wave, open_sound
from luoxia.media.audio.loudness import Meter
from luoxia.media.files import Files
from luoxia.media.looks import UNREADABLE, Look, Looking
from luoxia.media.ours import SAMPLE
from luoxia.provenance.label import InvalidLabelError

SILENT = 10 ** (-70 / 20)
"""A peak below this is silence: nothing of it is left in 12 bits."""
SHORTEST = 0.01
"""Seconds of a sound at least."""
FULL = 1 - 2**-14
"""Samples from here on are at full scale."""
RUN = 3
"""So many of them behind each other are clipped."""
BINS = 2048
NOTHING = 1e-7
"""Of the strongest frequency's power: what is weaker at all higher ones is not there."""
CARRIERS = {".wav": wav, ".flac": flac, ".ogg": ogg, ".mp3": mp3}


@dataclass(frozen=True)
class Header:
    """What is known of a sound as it lies in its file."""

    format: str
    """The ending that its content should have."""
    rate: int
    channels: int
    samples: int
    peak: float
    offset: float
    """The mean of all samples: direct current."""
    level: float
    """RMS."""
    clipped: int
    """Samples in runs at full scale."""
    loudness: float
    """LUFS; −1,000 of silence, for JSON knows no infinity."""
    highest: float
    """The highest frequency in Hz at which there is anything."""
    content: str
    """Digest of the decoded samples: two files with the same are one sound."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples / self.rate


def look_at(files: Files, name: str) -> Look[Header]:
    """Read one sound."""
    try:
        with files.open(name) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            origin = _origin(file)
            try:
                return Look(digest, examine(file, name), origin)
            except Unusable as reason:
                return Look(digest, str(reason), origin)
    except Unusable as reason:
        return Look(UNREADABLE, str(reason))
    except OSError as error:
        return Look(UNREADABLE, f"cannot be read: {error.strerror or error}")


def _origin(file: BinaryIO) -> str | None:
    """Why it is not data, where Luoxia made it."""
    for carrier in CARRIERS.values():
        file.seek(0)
        with suppress(InvalidLabelError, ValueError, OSError):
            if carrier.carried(file) is not None:
                return SAMPLE
    return None


def examine(file: BinaryIO, name: str) -> Header:
    """The header of an open file; Unusable where it is not a sound, or none that can be heard."""
    sound = open_sound(file, name)
    meter = Meter(sound.rate, sound.channels)
    seen = _Seen()
    for block in sound.blocks:
        meter.add(block)
        seen.add(block)
    if seen.samples < max(2, SHORTEST * sound.rate):
        raise Unusable(f"shorter than {1000 * SHORTEST:g} ms")
    if seen.peak < SILENT:
        raise Unusable("silence")
    return Header(
        sound.format,
        sound.rate,
        sound.channels,
        seen.samples,
        seen.peak,
        seen.total / seen.samples,
        math.sqrt(seen.squares / seen.samples),
        seen.clipped,
        max(-1000.0, meter.loudness()),
        seen.highest(sound.rate),
        seen.digest.hexdigest()[:32],
    )


class _Seen:
    """What a pass over a sound has seen of it."""

    def __init__(self) -> None:
        self.samples, self.peak, self.total, self.squares, self.clipped = 0, 0.0, 0.0, 0.0, 0
        self.digest = hashlib.sha256()
        self._power: NDArray[np.float64] = np.zeros(BINS // 2 + 1)

    def add(self, block: Wave) -> None:
        mono = block.mean(1, dtype=np.float64)
        self.samples += len(block)
        self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
        self.total += float(mono.sum())
        self.squares += float((block.astype(np.float64) ** 2).mean(1).sum())
        self.clipped += sum(_in_runs(np.abs(side) >= FULL) for side in block.T)
        self.digest.update(np.clip(np.rint(block * 32768), -32768, 32767).astype("<i2").tobytes())
        whole = len(mono) // BINS
        frames = (
            mono[: whole * BINS].reshape(whole, BINS) if whole else np.pad(mono, (0, BINS - len(mono)))[None]
        )
        self._power += (np.abs(np.fft.rfft(frames * np.hanning(BINS))) ** 2).sum(0)

    def highest(self, rate: int) -> float:
        there = np.flatnonzero(self._power > NOTHING * self._power[1:].max(initial=0))
        return float(there[-1] * rate / BINS) if len(there) else 0.0


def _in_runs(full: NDArray[np.bool_]) -> int:
    """How many lie in runs of at least ``RUN``."""
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= RUN].sum())


def _revived(kept: Any) -> Header:
    return Header(*kept)


def wrong_with(header: Header) -> Iterator[str]:
    """What a person should know of a sound that is read all the same, each as KIND: what."""
    if header.clipped:
        yield f"clipped: {header.clipped:,} samples at full scale ({header.clipped / header.samples:.2%})"
    if abs(header.offset) > max(0.002, 0.1 * header.level):
        yield f"DC offset: {header.offset:.3f}"
    if header.highest < header.rate / 4:
        yield f"narrow band: nothing above {header.highest:,.0f} Hz, at a rate of {header.rate:,} Hz"


LOOKS = Looking("sounds.json", f"1 {find_spec('av') is not None}", look_at, _revived)
