"""One mel spectrogram against a loop in float64; scores of sounds; what a page shows."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.formats.registry import checked_label, read_label
from luoxia.media.audio.medium import MEDIUM
from luoxia.media.audio.mel import MelConstants, MelSpectrogram, log_mel
from luoxia.media.audio.page import spectrogram
from luoxia.media.audio.writer import write_folder, write_sound
from luoxia.provenance.label import Label
from luoxia.verbs.measure import measure
from media.audio.sounds import noise, save, tone


def mels_by_hand(wave: np.ndarray, to: MelConstants) -> np.ndarray:
    """Slaney's filters and a discrete Fourier transform, written out."""

    def mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    def hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    n, hop = to.n_fft, to.hop
    corners = [hz(m) for m in np.linspace(mel(to.low), mel(to.high), to.mels + 2)]
    padded = np.concatenate([np.zeros((n - hop) // 2), wave, np.zeros(n + hop)])
    window = np.array([0.5 - 0.5 * np.cos(2 * np.pi * i / n) for i in range(n)])
    turns = np.exp(-2j * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n)
    found = []
    for frame in range(-(-len(wave) // hop)):
        magnitudes = np.abs(turns @ (padded[frame * hop : frame * hop + n] * window))
        row = []
        for left, peak, right in zip(corners, corners[1:], corners[2:], strict=False):
            total = 0.0
            for bin_, magnitude in enumerate(magnitudes):
                f = bin_ * to.sample_rate / n
                height = max(0.0, min((f - left) / (peak - left), (right - f) / (right - peak)))
                total += height * 2 / (right - left) * magnitude
            row.append(np.log(max(total, to.floor)))
        found.append(row)
    return np.array(found).T


@pytest.mark.parametrize(("n_fft", "hop", "low", "high"), [(128, 32, 0, 0), (200, 80, 50, 3500)])
def test_mels_are_those_of_a_loop(n_fft: int, hop: int, low: float, high: float) -> None:
    to = MelConstants(8000, n_fft, hop, mels=20, low=low, high=high)
    wave = noise(0.06)[:, 0]
    wave[300:] = 0
    expected = mels_by_hand(wave.astype(np.float64), to)
    found = log_mel(torch.from_numpy(wave)[None], to)
    assert found.shape == (1, 20, -(-480 // hop))
    assert np.abs(found[0].numpy() - expected).max() < 1e-3
    assert MelConstants.from_dict(to.as_dict()) == to


def test_mels_have_gradients_everywhere() -> None:
    wave = torch.zeros(2, 400, requires_grad=True)
    log_mel(wave, MelConstants(8000, 128, 32, 20)).sum().backward()
    assert wave.grad is not None and bool(wave.grad.isfinite().all())
    assert not list(MelSpectrogram(MelConstants(8000, 128, 32, 20)).state_dict())


@pytest.mark.parametrize("values", [{"low": 5000}, {"high": 9000}, {"n_fft": 128, "hop": 100}])
def test_constants_that_do_not_fit(values: dict) -> None:
    with pytest.raises(ValueError, match=r"do not fit|does not fit"):
        MelSpectrogram(MelConstants(8000, **values))
    with pytest.raises(ValueError, match="unknown constants"):
        MelConstants.from_dict({"sample_rate": 8000, "evil": 1})


# ------------------------------------------------------------------ scores


def test_a_file_against_a_file(tmp_path: Path) -> None:
    real, near = noise(1, 16_000), noise(1, 16_000) + noise(1, 16_000, 0.01, seed=1)
    save(tmp_path / "b.wav", real, 16_000)
    save(tmp_path / "a.flac", near, 16_000)
    found = measure(data=str(tmp_path / "a.flac"), against=str(tmp_path / "b.wav"), quiet=True)
    assert abs(found["SI-SDR"].value - 20) < 0.5 and found["SI-SDR"].reference < -20
    assert found["log-mel distance"].value < 0.2 < found["log-mel distance"].reference
    assert found["SI-SDR"].signature["reference"] == "the same sounds backwards"
    same = measure(data=str(tmp_path / "b.wav"), against=str(tmp_path / "b.wav"), quiet=True)
    assert same["log-mel distance"].value == 0 and same["SI-SDR"].value == 100


def test_a_folder_against_a_folder_by_names(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "real" / "in" / f"{number}.wav", noise(0.5, seed=number))
        save(tmp_path / "made" / "in" / f"{number}.ogg", noise(0.5, seed=number))
    save(tmp_path / "made" / "in" / "other.ogg", noise(0.5))
    (tmp_path / "made" / "in" / "3.ogg").write_bytes(b"bad")
    found = measure(data=str(tmp_path / "made"), against=str(tmp_path / "real"), quiet=True)
    score = found["log-mel distance"]
    assert score.signature["n"] == 3 and score.signature["unreadable"] == 1
    assert score.low is not None and score.low < score.value < score.reference
    save(tmp_path / "elsewhere" / "x.wav", noise())
    with pytest.raises(UsageError, match="give the files that belong together the same name"):
        measure(data=str(tmp_path / "elsewhere"), against=str(tmp_path / "real"), quiet=True)
    with pytest.raises(UsageError, match="extractor"):
        measure(data=str(tmp_path / "made"), against=str(tmp_path / "real"), extractor="self", quiet=True)


# ------------------------------------------------------------------ pages, and what is written


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a<b>.flac"])
def test_a_page_has_a_player_and_a_spectrogram(name: str, tmp_path: Path) -> None:
    path = write_sound(tmp_path / name, tone(1, channels=2), 8000, Label(recipe="x"))
    page = MEDIUM.html(path)
    picture, sound = re.findall(r'src="data:[a-z]+/[a-z]+;base64,([^"]+)"', page)
    assert b64decode(sound) == path.read_bytes() and "<b>" not in page and "<audio controls" in page
    assert Image.open(io.BytesIO(b64decode(picture))).size == (640, 128)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(LuoxiaError, match="is not a sound that can be shown"):
        MEDIUM.html(tmp_path / "bad.wav")


def test_a_long_sound_is_an_excerpt_on_a_page(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(40), 8000, Label(recipe="x"))
    page = MEDIUM.html(path)
    assert "its first 30 seconds" in page and len(page) < 700_000
    (tmp_path / "excerpt.mp3").write_bytes(b64decode(re.findall(r"audio/mpeg;base64,([^\"]+)", page)[0]))
    label = checked_label(tmp_path / "excerpt.mp3")
    assert label is not None and label.recipe == "x"


def test_a_spectrogram_shows_a_tone_where_it_is() -> None:
    low, high = (spectrogram(tone(1, hz=hz), 8000).sum((1, 2)).argmax() for hz in (300, 3000))
    assert low > high  # rows from above
    for samples in (2, 100, 8000, 300_000):
        assert spectrogram(noise(samples / 8000), 8000).shape[0] in (64, 128)


def test_sounds_in_a_folder_are_numbered_and_old_ones_removed(tmp_path: Path) -> None:
    label = Label(recipe="x")
    write_folder(tmp_path, [tone()] * 3, 8000, label)
    write_folder(tmp_path, iter([tone(hz=300)]), 8000, label)
    assert [path.name for path in tmp_path.iterdir()] == ["000000.wav"]
    assert getattr(read_label(tmp_path / "000000.wav"), "index", None) == 0
    with pytest.raises(UsageError, match=r"must end in \.wav, \.flac, \.ogg or \.mp3"):
        write_sound(tmp_path / "a.aac", tone(), 8000, label)
