"""A sound on a page: a player, and its spectrogram."""

from __future__ import annotations

import io
import tempfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from luoxia.core.errors import LuoxiaError
from luoxia.core.html import Html, escape
from luoxia.core.regular import bytes_of, open_regular
from luoxia.core.skips import Unusable
from luoxia.formats import mp3
from luoxia.formats.registry import read_label
from luoxia.media.audio.convert import read_sound
from luoxia.media.audio.mel import MelConstants, log_mel
from luoxia.provenance.label import Label

ALLOWANCE = 400_000
"""Bytes of a file that is put on a page as it is."""
SHOWN = 30.0
"""Seconds of a longer one."""
PLAYED = 24_000
"""Hz that such an excerpt has."""
WIDTH, HEIGHT = 640, 128
RANGE = 80
"""dB below the loudest that are seen."""
_TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg"}
_COLORS = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ]
)
"""From silent to loud: the corners of matplotlib's "inferno"."""


def show(file: Path) -> Html:
    """The player and the spectrogram of a file; ``LuoxiaError`` where it cannot be read."""
    try:
        with open_regular(file) as content:
            wave, rate = read_sound(content, file.name, seconds=SHOWN)
    except Unusable as reason:
        raise LuoxiaError(f"{file} is not a sound that can be shown: {reason}") from reason
    source, excerpt = _player(file, wave, rate)
    picture = b64encode(_png(spectrogram(wave, rate))).decode("ascii")
    note = f", its first {SHOWN:g} seconds" if excerpt else ""
    return Html(
        f'<figure class="sound"><img src="data:image/png;base64,{picture}" width="{WIDTH}" height="{HEIGHT}" '
        f'alt="Mel spectrogram of {escape(file.name)}"><audio controls preload="none" src="{source}"></audio>'
        f"<figcaption>{escape(file.name)}{note}</figcaption></figure>"
    )


def _player(file: Path, wave: NDArray[np.float32], rate: int) -> tuple[str, bool]:
    """A data URI, and whether it holds an excerpt: small files stay as they are, with the labels that they carry."""
    kind = _TYPES.get(file.suffix.lower())
    if kind and file.stat().st_size <= ALLOWANCE:
        return f"data:{kind};base64,{b64encode(bytes_of(file)).decode('ascii')}", False
    import soxr

    played = np.clip(soxr.resample(wave, rate, PLAYED), -1, 1)
    label = read_label(file) or Label(note="an excerpt for a page")
    with tempfile.TemporaryDirectory() as folder:
        small = mp3.write(played, label, Path(folder) / "excerpt.mp3", PLAYED)
        return f"data:audio/mpeg;base64,{b64encode(small.read_bytes()).decode('ascii')}", True


def spectrogram(wave: NDArray[np.float32], rate: int, width: int = WIDTH) -> NDArray[np.uint8]:
    """A wave (samples, channels) as a picture (``HEIGHT``, about ``width``, 3), low frequencies below."""
    hop = max(32, 2 * (len(wave) // width // 2))
    n_fft = max(4 * 2 ** (hop - 1).bit_length(), 512 if rate <= 16_000 else 1024)
    constants = MelConstants(rate, n_fft, hop, min(64, n_fft // 8))
    mels = log_mel(torch.from_numpy(wave.mean(1)), constants).numpy()[
        ::-1
    ]  # (mels, frames), natural logarithms
    decibels = 20 / np.log(10) * (mels - mels.max())
    shares = np.clip(1 + decibels / RANGE, 0, 1).repeat(HEIGHT // len(mels), 0)
    steps = np.linspace(0, 1, len(_COLORS))
    colors = np.stack([np.interp(shares, steps, _COLORS[:, channel]) for channel in range(3)], -1)
    picture: NDArray[np.uint8] = np.rint(colors).astype(np.uint8)
    return picture


def _png(picture: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).resize((WIDTH, HEIGHT)).save(stream, "PNG", optimize=True)
    return stream.getvalue()
