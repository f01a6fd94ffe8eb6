"""What FFmpeg reads is the sound that went in; damaged files of every kind end in a reason, never in a fault."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from luoxia.core.skips import Unusable
from luoxia.media.audio.convert import read_sound
from luoxia.media.audio.data import open_audio
from luoxia.media.audio.kinds import sound_by_head
from luoxia.media.audio.looks import examine
from media.audio.sounds import noise, save, tone

av = pytest.importorskip("av")
RATE = 32_000
KINDS = {
    "a.m4a": ("ipod", "aac"), "a.aac": ("adts", "aac"), "a.mka": ("matroska", "aac"), "a.ac3": ("ac3", "ac3"),
    "a.wv": ("wv", "wavpack"), "a.tta": ("tta", "tta"), "mp3 inside.wav": ("wav", "libmp3lame"),
}  # fmt: skip
ENDINGS = {"mp3 inside.wav": ".wav"}


@pytest.fixture(scope="module")
def encoded() -> Callable[[str], bytes]:
    """The bytes of a file of a kind: 440 Hz on the left, half as loud on the right."""
    known: dict[str, bytes] = {}

    def make(name: str) -> bytes:
        if name not in known:
            container, codec = KINDS[name]
            content = io.BytesIO()
            with av.open(content, "w", format=container) as out:
                stream = out.add_stream(codec, rate=RATE, layout="stereo")
                frame = av.AudioFrame.from_ndarray(tone(1, RATE, channels=2).T.copy(), "fltp", "stereo")
                frame.rate = RATE
                converter = av.AudioResampler(stream.format.name, "stereo", RATE)
                for part in converter.resample(frame):
                    out.mux(stream.encode(part))
                out.mux(stream.encode(None))
            known[name] = content.getvalue()
        return known[name]

    return make


@pytest.mark.parametrize("name", KINDS)
def test_a_container_keeps_both_sides(name: str, encoded: Callable[[str], bytes]) -> None:
    content = encoded(name)
    assert sound_by_head(content[:256]) == ENDINGS.get(name, Path(name).suffix)
    wave, rate = read_sound(io.BytesIO(content), name)
    assert rate == RATE and wave.shape[1] == 2 and abs(len(wave) - RATE) < 4000
    left, right = wave[4000:-4000].T
    assert abs(left.std() / right.std() - 2) < 0.2 and np.corrcoef(left, right)[0, 1] > 0.97
    spectrum = np.abs(np.fft.rfft(left * np.hanning(len(left))))
    assert abs(spectrum.argmax() * RATE / len(left) - 440) < 2 and abs(left.std() - 0.3 / 2**0.5) < 0.02


def test_a_file_without_a_head_is_known_by_its_name(tmp_path: Path) -> None:
    content = io.BytesIO()
    with av.open(content, "w", format="g722") as out:
        stream = out.add_stream("g722", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone(1, 16_000).T * 32767).astype(np.int16), "s16", "mono")
        frame.rate = 16_000
        out.mux([*stream.encode(frame), *stream.encode(None)])
    (tmp_path / "a.g722").write_bytes(content.getvalue())
    data = open_audio(tmp_path)
    assert data.spec.rate == 16_000 and abs(len(data.waves) - 16_000) < 10


@pytest.mark.parametrize("name", [*KINDS, "a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff"])
def test_altered_files_are_read_or_left_out(
    name: str, tmp_path: Path, encoded: Callable[[str], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = encoded(name) if name in KINDS else save(tmp_path / name, noise(0.3, RATE), RATE).read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(12):
        content = bytearray(whole)
        for place in rng.integers(0, 200 if trial % 2 else len(whole), 4):
            content[place] = rng.integers(256)
        try:
            header = examine(io.BytesIO(bytes(content[: len(whole) // (1 + trial % 3)])), name)
        except Unusable as reason:
            assert "\n" not in str(reason) and len(str(reason)) < 200
        else:
            assert header.samples > 0 and np.isfinite(header.level) and header.peak > 0
