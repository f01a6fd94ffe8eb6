"""Sampled waves on their way into a file: 16-bit numbers, encoded in pieces, never whole in memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, MissingExtraError, UsageError

Wave = NDArray[Any]
"""(samples,) or (samples, channels): floats in [−1, 1], or int16."""
Waves = Wave | Iterable[Wave]
"""All at once, or so many samples at a time."""
PIECE = 2**15  # samples handed over at a time: libsndfile's Vorbis encoder overflows its stack by large ones
COPIED = 2**20


@dataclass(frozen=True)
class Encoding:
    """What libsndfile calls a container and what is in it, and the rates in Hz that it can hold; () for any."""

    container: str
    subtype: str
    rates: tuple[int, ...] = ()


def to_int16(wave: Wave) -> NDArray[np.int16]:
    """(samples, channels) as 16-bit numbers, rounded; what lies beyond [−1, 1] is clipped.

    >>> to_int16(np.array([0.0, 0.5, -2.0])).tolist()
    [[0], [16384], [-32768]]
    """
    wave = np.asarray(wave)
    wave = wave[:, None] if wave.ndim == 1 else wave
    if wave.dtype == np.int16:
        return wave
    scaled = np.rint(wave.astype(np.float64) * 32768)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def pieces(waves: Waves) -> Iterator[NDArray[np.int16]]:
    """The samples, at most ``PIECE`` at a time, all with the channels of the first."""
    channels = None
    for wave in [waves] if isinstance(waves, np.ndarray) else waves:
        block = to_int16(wave)
        channels = channels or block.shape[1]
        if block.shape[1] != channels:
            raise ValueError(f"a piece has {block.shape[1]} channels, and the first had {channels}")
        for start in range(0, len(block), PIECE):
            yield block[start : start + PIECE]


def encoded(waves: Waves, rate: int, encoding: Encoding, ending: str) -> IO[bytes]:
    """A temporary file with the waves as libsndfile encodes them, at its beginning; without any label.

    Raises:
        UsageError: the format cannot hold this rate.
        MissingExtraError: soundfile is not installed.
        LuoxiaError: it cannot be written.
    """
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError(f"out=FILE{ending}", "audio") from error
    if encoding.rates and rate not in encoding.rates:
        known = ", ".join(f"{known:,}" for known in encoding.rates)
        raise UsageError(f"{ending} cannot hold {rate:,} Hz, only {known}: write .wav or .flac")
    blocks = pieces(waves)
    first = next(blocks, np.zeros((0, 1), np.int16))
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller reads and closes it
    try:
        with soundfile.SoundFile(
            file, "w", rate, first.shape[1], encoding.subtype, format=encoding.container
        ) as out:
            out.write(first)
            for block in blocks:
                out.write(block)
    except soundfile.LibsndfileError as error:
        file.close()
        raise LuoxiaError(
            f"{rate:,} Hz and {first.shape[1]} channels cannot be written as {ending}: {error}"
        ) from error
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def digest_of(file: BinaryIO | IO[bytes], start: int, end: int | None = None, *, begun: bytes = b"") -> str:
    """SHA-256 of ``begun`` and of the bytes from ``start`` to ``end`` (None: the last)."""
    digest = hashlib.sha256(begun)
    for part in parts(file, start, end):
        digest.update(part)
    return digest.hexdigest()


def parts(file: BinaryIO | IO[bytes], start: int, end: int | None = None) -> Iterator[bytes]:
    """The bytes from ``start`` to ``end`` (None: the last), some at a time."""
    file.seek(start)
    left = None if end is None else end - start
    while (left is None or left > 0) and (part := file.read(COPIED if left is None else min(left, COPIED))):
        yield part
        left = None if left is None else left - len(part)
