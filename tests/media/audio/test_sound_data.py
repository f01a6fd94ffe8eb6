"""Sounds are resampled once, brought to one loudness, and told apart by folders, tables and names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from luoxia.formats import wav
from luoxia.media.audio.batches import AudioBatches, spans_of, split
from luoxia.media.audio.data import open_audio
from luoxia.media.audio.loudness import Meter, k_weighting
from luoxia.media.audio.medium import MEDIUM
from luoxia.provenance.label import Label
from luoxia.registry import medium
from luoxia.training.distributed import World
from luoxia.training.objective import Phase
from luoxia.verbs.data import describe
from media.audio.sounds import noise, save, tone

CPU = World(0, 1, torch.device("cpu"))
PHASE = Phase("model", losses=lambda batch, rng: {}, updates="network")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for number in range(4):
        for speaker in ("ann", "bo"):
            for take in range(3):
                wave = tone(0.5 + 0.1 * take, hz=200 + 100 * number, level=0.05 if speaker == "ann" else 0.5)
                save(tmp_path / "digits" / f"{number}_{speaker}_{take}.wav", wave)
    return tmp_path / "digits"


# ------------------------------------------------------------------ what is read


@pytest.mark.parametrize(("rate", "to"), [(8000, 8000), (44_100, 16_000), (8000, 22_050)])
def test_a_sound_keeps_its_waves_at_another_rate(rate: int, to: int, tmp_path: Path) -> None:
    save(tmp_path / "a.flac", tone(1, rate, channels=2), rate)
    data = open_audio(tmp_path, sample_rate=to, loudness=None)
    assert data.spec.rate == to and data.spec.channels == 2 and abs(len(data.waves) - to) <= 1
    expected = tone(1, to, channels=2)[: len(data.waves)]
    middle = slice(to // 10, -to // 10)
    assert np.abs(data.waves[middle] / 32768 - expected[middle]).max() < 1e-3
    assert data.gains.tolist() == [0]


def test_one_channel_is_the_mean_and_two_are_the_files_own(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", tone(channels=2))
    both = open_audio(tmp_path, loudness=None)
    one = open_audio(tmp_path, mono=True, loudness=None)
    assert both.spec.channels == 2 and one.spec.channels == 1
    assert np.abs(one.waves[:, 0] - both.waves.mean(1)).max() <= 1
    assert np.abs(both.waves[:, 0] - 2.0 * both.waves[:, 1]).max() <= 2


def test_every_sound_gets_the_same_loudness_and_keeps_its_gain(digits: Path) -> None:
    data = open_audio(digits)
    for index in range(len(data)):
        wave, _ = data[index]
        meter = Meter(8000)
        meter.add(wave / 32768)
        assert abs(meter.loudness() + 23) < 0.1
    ann = np.array(["ann" in name for name in data.names])
    assert abs(data.gains[ann].mean() - data.gains[~ann].mean() - 20) < 0.01
    quiet = open_audio(digits, loudness=0)  # which would clip
    assert 29_100 < np.abs(quiet.waves.astype(np.int32)).max() < 29_300


def test_classes_and_fields_from_names(digits: Path) -> None:
    data = open_audio(digits, pattern="{label}_{speaker}_*")
    assert data.classes == ("0", "1", "2", "3") and data.labels is not None and data.spec.classes == 4
    assert data.fields["speaker"][:4] == ["ann", "ann", "ann", "bo"]
    assert describe(str(digits))["notes"] == [
        "the names of the files seem to tell classes: pattern='{label}_{speaker}_*' reads them"
    ]
    found = describe(str(digits), pattern="{label}_{speaker}_*")
    assert found["fields"] == {"speaker": "2 values (ann, bo)"} and found["classes"]["3"] == 6


def test_classes_from_folders_texts_from_tables_and_files(tmp_path: Path) -> None:
    for name in ("cats/1.wav", "dogs/1.wav", "dogs/2.ogg"):
        save(tmp_path / "folders" / name, noise())
    data = open_audio(tmp_path / "folders")
    assert data.classes == ("cats", "dogs") and data.labels is not None and data.labels.tolist() == [0, 1, 1]
    for name in "abc":
        save(tmp_path / "table" / f"{name}.wav", noise())
    rows = [{"file_name": "a.wav", "text": "one", "speaker": "ann"}, {"file_name": "b.wav", "text": "two"}]
    (tmp_path / "table" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = open_audio(tmp_path / "table")
    assert data.texts == ["one", "two"] and data.fields == {"speaker": ["ann", None]}
    assert [(skip.name, skip.reason) for skip in data.skipped] == [("c.wav", "not named in metadata.jsonl")]
    (tmp_path / "table" / "metadata.jsonl").unlink()
    (tmp_path / "table" / "b.txt").write_text("and  a\ntext\n")
    assert open_audio(tmp_path / "table").texts == [None, "and a text", None]


def test_the_cache_is_of_the_content_and_of_the_keys(digits: Path) -> None:
    first = open_audio(digits)
    assert open_audio(digits).fingerprint == first.fingerprint
    assert open_audio(digits, loudness=-20).fingerprint != first.fingerprint
    save(digits / "0_ann_0.wav", tone(hz=1234))
    assert open_audio(digits).fingerprint != first.fingerprint


def test_what_luoxia_made_is_no_data(digits: Path) -> None:
    wav.write(tone(), Label(recipe="x"), digits / "made.wav", 8000)
    data = open_audio(digits)
    assert "made.wav" not in data.names
    assert next(skip.reason for skip in data.skipped if skip.name == "made.wav").startswith(
        "generated by Luoxia"
    )


# ------------------------------------------------------------------ whose a path is


def test_the_medium_of_a_path(tmp_path: Path, digits: Path) -> None:
    audio = medium("audio")
    assert audio is MEDIUM and audio.accepts(digits) and audio.accepts(str(digits / "0_ann_0.wav"))
    (digits / "metadata.csv").write_text("file_name,text\n")
    (digits / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    assert audio.accepts(digits)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text")
    for source in (None, np.zeros(3), tmp_path / "nowhere", tmp_path / "texts", tmp_path):
        assert not audio.accepts(source) or source == tmp_path


# ------------------------------------------------------------------ what is wrong with it


def test_what_is_wrong_is_listed(tmp_path: Path) -> None:
    save(tmp_path / "good.wav", noise(1, 16_000), 16_000)
    save(tmp_path / "again.flac", noise(1, 16_000), 16_000, format="WAV")
    save(tmp_path / "clipped.wav", np.clip(4 * noise(1, 16_000, 0.5, seed=1), -1, 1), 16_000)
    save(tmp_path / "shifted.wav", noise(1, 16_000, seed=2) + 0.2, 16_000)
    save(tmp_path / "upsampled.wav", tone(1, 16_000, hz=300), 16_000)
    save(tmp_path / "low.wav", noise(1, 8000, seed=3), 8000)
    found = describe(str(tmp_path))
    assert found["issues"] == {"duplicate": 1, "clipped": 1, "low rate": 1, "DC offset": 1, "narrow band": 1}
    wrong = {one.name if hasattr(one, "name") else one["name"]: one for one in found["wrong"]}
    assert wrong.keys() == {"good.wav", "clipped.wav", "shifted.wav", "upsampled.wav", "low.wav"}
    assert found["sample_rate"] == 16_000 and found["mono"] and found["count"] == 6


# ------------------------------------------------------------------ loudness


def test_the_filters_are_those_of_the_recommendation() -> None:
    expected = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    assert np.abs(k_weighting(48_000) - expected).max() < 1e-9


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_is_pyloudnorms(rate: int, channels: int) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    envelope = np.repeat([1, 0.001, 0.3, 0, 0.1], rate)[:, None]
    wave = noise(5, rate, 0.2, channels) * envelope
    meter = Meter(rate, channels)
    for start in range(0, len(wave), 1234):
        meter.add(wave[start : start + 1234])
    expected = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(wave)
    assert abs(meter.loudness() - expected) < 0.02


def test_short_sounds_have_their_level_and_silence_none() -> None:
    meter = Meter(8000)
    meter.add(np.full((1000, 1), 0.1))
    assert abs(meter.loudness() + 20) < 1e-9
    for seconds in (0, 0.1, 1):
        silent = Meter(8000)
        silent.add(np.zeros((int(8000 * seconds), 1)))
        assert silent.loudness() == -np.inf


# ------------------------------------------------------------------ batches


def test_batches_are_a_pure_function(digits: Path) -> None:
    data = open_audio(digits, pattern="{label}_{speaker}_*")
    spans = spans_of(data)
    batches = AudioBatches(data, spans, 5, 1000, seed=3, world=CPU)
    again = AudioBatches(data, spans, 5, 1000, seed=3, world=CPU)
    for index in (7, 0, 3):
        one, two = batches(PHASE, index), again(PHASE, index)
        assert torch.equal(one.waves, two.waves) and torch.equal(one.clips, two.clips) and len(one) == 5
        for wave, clip, label in zip(one.waves, one.clips, one.labels, strict=True):  # type: ignore[arg-type]
            whole, expected = data[int(clip)]
            crops = np.lib.stride_tricks.sliding_window_view(whole[:, 0], 1000)
            assert label == expected and (crops == (wave[0] * 32768).numpy().astype(np.int16)).all(1).any()
    other = AudioBatches(data, spans, 5, 1000, seed=3, world=World(1, 2, torch.device("cpu")))
    assert not torch.equal(other(PHASE, 0).waves, batches(PHASE, 0).waves)


def test_short_sounds_are_followed_by_zeros_and_long_ones_met_more_often(tmp_path: Path) -> None:
    save(tmp_path / "long.wav", noise(4))
    save(tmp_path / "short.wav", noise(0.5))
    data = open_audio(tmp_path, loudness=None)
    batches = AudioBatches(data, spans_of(data), 5, 8000, seed=0, world=CPU)
    batch = batches(PHASE, 0)  # an epoch: four crops of the long one, one of the short
    assert sorted(batch.clips.tolist()) == [0, 0, 0, 0, 1]
    row = batch.clips.tolist().index(1)
    assert (
        batch.lengths[row] == 4000
        and not batch.waves[row, :, 4000:].any()
        and batch.waves[row, :, :4000].any()
    )


def test_held_out_is_whole_groups_or_the_end_of_each(digits: Path) -> None:
    data = open_audio(digits, pattern="{label}_{speaker}_{take}")
    train, held = split(data, 0.2, 0)
    assert len(train) + len(held) == 24 and len(held) == 5 and not set(train.clips) & set(held.clips)
    groups = [str(index // 1) for index in range(24)]
    groups[1] = groups[0]
    train, held = split(data, 0.2, 1, groups)
    assert (0 in held.clips) == (1 in held.clips)
    train, held = split(data, 0.25, 0, [str(field) for field in data.fields["speaker"]])
    assert len(train) == len(held) == 24 and (train.stops == held.starts).all()
    assert abs(held.samples / len(data.waves) - 0.25) < 0.01
