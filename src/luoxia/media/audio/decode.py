"""Any sound file as blocks of samples, by what it holds and never by what it is called.

libsndfile reads most; the rest, and what it refuses, is FFmpeg's, by one explicit format a file from a list. No other
format is ever tried, so that no playlist is followed: HLS, concat and their like name other files, or addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import MissingExtraError
from luoxia.core.skips import Unusable
from luoxia.media.audio.kinds import CONTAINERS, PLAIN, is_text, sound_by_head
from luoxia.media.kinds import HEAD_BYTES, ending_of

Wave = NDArray[np.float32]
"""(samples, channels), full scale at ±1."""
BLOCK = 2**16
"""Samples a block."""
RATES = range(1000, 768_001)
MAX_CHANNELS = 64
ONLY_LOCAL = {"protocol_whitelist": "file"}


@dataclass(frozen=True)
class Sound:
    """An open file: its format's ending, its rate in Hz, its channels, and its samples in blocks."""

    format: str
    rate: int
    channels: int
    blocks: Iterator[Wave]


def open_sound(file: BinaryIO, name: str) -> Sound:
    """What an open file holds; its blocks are decoded when they are asked for.

    Raises:
        Unusable: it is not a sound, or damaged; its blocks raise it too, for NaN and infinite samples as well.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise Unusable("an empty file")
    if is_text(head):
        raise Unusable("a text, such as a playlist, and no sound, whatever its name says")
    ending = sound_by_head(head) or (".g722" if ending_of(name) == ".g722" else "")  # which has no head
    if not ending:
        raise Unusable("not a sound that can be read, whatever its name says")
    file.seek(0)
    sound = _opened(file, ending)
    if sound.rate not in RATES or not 1 <= sound.channels <= MAX_CHANNELS:
        raise Unusable(f"{sound.channels:,} channels at {sound.rate:,} Hz, which no sound has")
    return Sound(sound.format, sound.rate, sound.channels, _finite(sound.blocks))


def _opened(file: BinaryIO, ending: str) -> Sound:
    if ending not in PLAIN:
        return _by_ffmpeg(file, ending)
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError("reading sound", "audio") from error
    try:
        opened = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        file.seek(0)
        try:
            return _by_ffmpeg(file, ending)
        except Unusable as unusable:
            raise unusable from error
    return Sound(ending, opened.samplerate, opened.channels, _blocks(opened))


def _blocks(opened: Any) -> Iterator[Wave]:
    import soundfile

    with closing(opened):
        while True:
            try:
                block = opened.read(BLOCK, dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
                raise Unusable(f"cannot be decoded: {_words(error)}") from error
            if not len(block):
                return
            yield block


def _finite(blocks: Iterator[Wave]) -> Iterator[Wave]:
    for block in blocks:
        if not np.isfinite(block).all():
            raise Unusable("holds NaN or infinite samples")
        yield block


def _by_ffmpeg(file: BinaryIO, ending: str) -> Sound:
    try:
        import av
    except ImportError as error:
        raise Unusable(str(MissingExtraError(f"reading {ending}", "video"))) from error
    try:
        container = av.open(file, format=CONTAINERS[ending], options=ONLY_LOCAL, metadata_errors="replace")
    except (av.FFmpegError, ValueError, KeyError) as error:
        raise Unusable(f"cannot be decoded: {_words(error)}") from error
    try:
        stream = container.streams.audio[0]
        rate, channels = stream.rate, stream.channels
    except (IndexError, AttributeError) as error:
        container.close()
        raise Unusable("holds no sound") from error
    return Sound(ending, rate or 0, channels or 0, _frames(container, stream))


def _frames(container: Any, stream: Any) -> Iterator[Wave]:
    import av

    with container:
        to_float = av.AudioResampler("flt", stream.layout, stream.rate)
        channels = stream.channels
        try:
            for frame in container.decode(stream):
                for part in to_float.resample(frame):
                    yield part.to_ndarray().reshape(-1, channels).astype(np.float32, copy=False)
        except (av.FFmpegError, ValueError) as error:
            raise Unusable(f"cannot be decoded: {_words(error)}") from error


def _words(error: Exception) -> str:
    """An error of a library in a few words, without the name of the file."""
    text = getattr(error, "strerror", None) or getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
