"""The rule that turns any sound into 16-bit samples at one rate.

In this order:

1. one channel is the mean of all; two are the file's own two sides, or its mean twice;
2. the rate is changed once, by soxr at high quality;
3. the level is brought to ``loudness`` (BS.1770; RMS for what is shorter than 0.4 s), but never so high that the peak
   passes −1 dB, and never by more than 40 dB. Without a loudness only what passes −1 dB is made softer;
4. samples are rounded to 16 bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import MissingExtraError
from luoxia.core.skips import Unusable
from luoxia.formats.pcm import to_int16
from luoxia.media.audio.decode import BLOCK, Wave, open_sound
from luoxia.media.audio.looks import SHORTEST, SILENT
from luoxia.media.audio.loudness import Meter

CEILING = 10 ** (-1 / 20)
"""The peak at most."""
MOST_GAIN = 40.0
"""dB."""
IN_MEMORY = 2**26
"""Bytes of a sound that is kept in memory while it is measured; longer ones wait on the disk."""


@dataclass(frozen=True)
class Conversion:
    """What every sound of a data set is turned into."""

    rate: int
    channels: int
    loudness: float | None


class Converted:
    """A sound at its new rate: its gain in dB is known, and its blocks (samples, channels) int16 may be read once."""

    def __init__(self, file: BinaryIO, name: str, to: Conversion) -> None:
        """Decode and resample all of it; Unusable where that fails. Close it in the end."""
        self.samples, self.channels = 0, to.channels
        self._waves: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed by close
        try:
            peak, meter = 0.0, Meter(to.rate, to.channels)
            for block in resampled(file, name, to.rate, to.channels):
                self.samples += len(block)
                peak = max(peak, float(np.abs(block).max(initial=0)))
                meter.add(block)
                self._waves.write(block.tobytes())
            if self.samples < max(2, SHORTEST * to.rate):
                raise Unusable(f"shorter than {1000 * SHORTEST:g} ms")
            if peak < SILENT:
                raise Unusable(f"silence at {to.rate:,} Hz")
            self.gain = gain_to(to.loudness, meter.loudness(), peak)
        except BaseException:
            self.close()
            raise

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """The samples with their gain."""
        factor = np.float32(10 ** (self.gain / 20))
        self._waves.seek(0)
        while content := self._waves.read(4 * self.channels * BLOCK):
            yield to_int16(np.frombuffer(content, np.float32).reshape(-1, self.channels) * factor)

    def close(self) -> None:
        """Let go of the samples."""
        self._waves.close()


def gain_to(target: float | None, loudness: float, peak: float) -> float:
    """The gain in dB that brings a sound to a loudness (both LUFS, None: as it is) within the ceiling.

    >>> gain_to(-23, -33, 0.1), round(gain_to(-23, -33, 0.5), 1), gain_to(None, -33, 0.5)
    (10, 5.0, 0.0)
    """
    wanted = 0.0 if target is None or not np.isfinite(loudness) else target - loudness
    return min(wanted, MOST_GAIN, 20 * float(np.log10(CEILING / peak)))


def resampled(file: BinaryIO, name: str, rate: int, channels: int) -> Iterator[Wave]:
    """The blocks of a sound at another rate, with one channel or two; raises what ``open_sound`` does."""
    try:
        import soxr
    except ImportError as error:
        raise MissingExtraError("reading sound", "audio") from error
    sound = open_sound(file, name)
    mixed = (_mixed(block, channels) for block in sound.blocks)
    if sound.rate == rate:
        yield from mixed
        return
    stream = soxr.ResampleStream(sound.rate, rate, channels, dtype="float32", quality="HQ")
    for block in mixed:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _mixed(block: Wave, channels: int) -> Wave:
    """(samples, any channels) → (samples, 1 or 2)."""
    if block.shape[1] == channels:
        return np.ascontiguousarray(block)
    return np.repeat(block.mean(1, keepdims=True, dtype=np.float32), channels, 1)


def read_sound(
    file: BinaryIO,
    name: str,
    rate: int | None = None,
    channels: int | None = None,
    seconds: float | None = None,
) -> tuple[Wave, int]:
    """A sound (samples, channels) at its own level, and its rate in Hz; both its own if None.

    ``seconds``: so much of its beginning at most.

    Raises:
        Unusable: it is not a sound, or has no sample.
    """
    own = open_sound(file, name)
    rate, channels = rate or own.rate, channels or min(2, own.channels)
    most = None if seconds is None else int(seconds * rate)
    blocks, samples = [np.zeros((0, channels), np.float32)], 0
    for block in resampled(file, name, rate, channels):
        blocks.append(block)
        samples += len(block)
        if most is not None and samples >= most:
            break
    wave = np.concatenate(blocks)[:most]
    if not len(wave):
        raise Unusable("no samples")
    return wave, rate
