"""Files from anywhere: each is read, or left out for a reason that a person understands; none is followed elsewhere."""

from __future__ import annotations

import struct
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.audio.convert import Conversion, Converted
from luoxia.media.audio.data import open_audio
from luoxia.media.audio.looks import examine
from luoxia.media.audio.medium import MEDIUM
from media.audio.sounds import noise, save, tone


def skipped(folder: Path) -> dict[str, str]:
    return {skip.name: skip.reason for skip in open_audio(folder).skipped}


def test_what_is_damaged_or_empty_is_listed_and_the_rest_is_read(tmp_path: Path) -> None:
    save(tmp_path / "good.wav", tone())
    (tmp_path / "empty.wav").write_bytes(b"")
    save(tmp_path / "one sample.wav", np.full((1, 1), 0.5))
    save(tmp_path / "silent.flac", np.zeros((4000, 1)))
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        wave = tone()
        wave[100] = value
        save(tmp_path / f"{name}.wav", wave, subtype="FLOAT")
    content = save(tmp_path / "cut.ogg", tone(2)).read_bytes()
    (tmp_path / "cut.ogg").write_bytes(content[:60])
    reasons = skipped(tmp_path)
    assert reasons.pop("noise.mp3").startswith(("not a sound", "cannot be decoded"))
    assert reasons.pop("cut.ogg").startswith("cannot be decoded")
    assert reasons == {
        "empty.wav": "an empty file", "one sample.wav": "shorter than 10 ms", "silent.flac": "silence",
        "nan.wav": "holds NaN or infinite samples", "infinite.wav": "holds NaN or infinite samples",
    }  # fmt: skip
    assert open_audio(tmp_path).names == ["good.wav"]


def test_a_folder_of_silence_is_one_sentence(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / f"{name}.wav", np.zeros((4000, 1)))
    with pytest.raises(LuoxiaError, match=r"^none of the 2 sounds in .* can be used \(a.wav: silence\)"):
        open_audio(tmp_path)
    with pytest.raises(LuoxiaError, match="none of the 2 sounds"):
        MEDIUM.describe(str(tmp_path))


def test_eight_channels_at_96_khz(tmp_path: Path) -> None:
    wave = tone(0.5, 96_000, channels=8)
    save(tmp_path / "a.wav", wave, 96_000)
    data = open_audio(tmp_path / "a.wav", sample_rate=16_000, loudness=None)
    assert data.spec.channels == 2 and data.waves.shape == (8000, 2)
    mean = wave.mean(1)[::6]
    assert np.abs(data.waves[500:-500, 0] / 32768 - mean[500:-500]).max() < 2e-3
    assert (data.waves[:, 0] == data.waves[:, 1]).all()


@pytest.mark.parametrize("size", [0, 10, 2**32 - 1])
def test_a_riff_whose_length_lies(tmp_path: Path, size: int) -> None:
    content = bytearray(save(tmp_path / "a.wav", tone()).read_bytes())
    content[4:8] = struct.pack("<I", size)
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", max(size, 8000) if size else 2**31)
    (tmp_path / "a.wav").write_bytes(content)
    assert len(open_audio(tmp_path / "a.wav").waves) <= 4000


def test_a_sound_is_what_it_holds_and_not_what_it_is_called(tmp_path: Path) -> None:
    save(tmp_path / "really mp3.wav", tone(), format="MP3")
    save(tmp_path / "really flac.mp3", tone(hz=300), format="FLAC")
    save(tmp_path / "without an ending", tone(hz=600), format="OGG")
    data = open_audio(tmp_path)
    assert len(data) == 3
    notes = MEDIUM.describe(str(tmp_path))["notes"]
    assert any(note.startswith("3 files of another format than the name says") for note in notes)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{target}'\n",
    "subfile": "subfile,,start,0,end,100,,:{target}\n",
    "pls": "[playlist]\nFile1={target}\n",
    "marked": "\ufeff#EXTM3U\n{target}\n",
}


@pytest.mark.parametrize("ending", ["ogg", "wav", "mp3", "m4a", "g722", "flac"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_is_refused_under_any_name(kind: str, ending: str, tmp_path: Path) -> None:
    target = save(tmp_path / "secret" / "target.wav", tone(hz=1000))
    (tmp_path / "data").mkdir()
    save(tmp_path / "data" / "good.wav", tone())
    (tmp_path / "data" / f"list.{ending}").write_text(PLAYLISTS[kind].format(target=target))
    data = open_audio(tmp_path / "data")
    assert data.names == ["good.wav"]
    assert [skip.reason for skip in data.skipped] == [
        "a text, such as a playlist, and no sound, whatever its name says"
    ]


def test_a_playlist_behind_a_tag_is_no_sound(tmp_path: Path) -> None:
    """MP3 may begin with a tag of any size: what comes after it is taken for MP3 and nothing else."""
    target = save(tmp_path / "target.wav", tone(hz=1000))
    (tmp_path / "data").mkdir()
    list_ = PLAYLISTS["hls"].format(target=target).encode()
    (tmp_path / "data" / "a.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + list_ * 50)
    with pytest.raises(LuoxiaError, match=r"none of the 1 sound.*cannot be decoded"):
        open_audio(tmp_path / "data")


def test_a_container_without_its_decoder_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "good.wav", tone())
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0mif1isom" + bytes(200))
    monkeypatch.setitem(sys.modules, "av", None)
    assert skipped(tmp_path) == {"a.m4a": "reading .m4a needs the extra 'video': pip install 'luoxia[video]'"}


def test_names_that_mean_something_to_ffmpeg_are_only_names(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for name in ("subfile,,start,0,end,9,,:a.m4a", "concat:a.m4a|b.m4a", "pipe:0.m4a"):
        with av.open(str(tmp_path / "sound.m4a"), "w", format="ipod") as out:
            stream = out.add_stream("aac", rate=8000, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(1).T, format="fltp", layout="mono")
            frame.rate = 8000
            out.mux([*stream.encode(frame), *stream.encode(None)])
        (tmp_path / "sound.m4a").rename(tmp_path / name)
    data = open_audio(tmp_path)
    assert len(data) == 3 and not data.skipped
    assert np.abs(data.offsets[1:] - data.offsets[:-1] - 8000).max() <= 3072


def test_a_long_file_is_read_in_flat_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty minutes here; three hours take no more, for nothing grows with the length."""
    monkeypatch.setattr("luoxia.media.audio.convert.IN_MEMORY", 2**20)
    path = save(tmp_path / "long.wav", np.zeros((1, 1)))
    rate, seconds = 4000, 1200
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", 36 + 2 * rate * seconds) + b"WAVEfmt ")
        file.write(struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16))
        file.write(b"data" + struct.pack("<I", 2 * rate * seconds))
        block = (noise(60, rate) * 32767).astype("<i2").tobytes()
        for _ in range(seconds // 60):
            file.write(block)
    tracemalloc.start()
    with path.open("rb") as file:
        header = examine(file, "long.wav")
        sound = Converted(file, "long.wav", Conversion(2000, 1, -23.0))
        read = sum(len(block) for block in sound.blocks())
        sound.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.samples == rate * seconds and abs(read - header.samples // 2) < 2
    assert peak < 12 * 2**20 < 4 * header.samples


def test_zips_are_read_as_folders_and_never_trusted(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", tone())
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.wav", "up/a.wav")
        archive.write(tmp_path / "a.wav", "down/b.wav")
        archive.writestr("down/bomb.wav", (tmp_path / "a.wav").read_bytes() + bytes(2**23))
        archive.write(tmp_path / "a.wav", "../../outside.wav")
    assert MEDIUM.accepts(tmp_path / "z.zip")
    data = open_audio(tmp_path / "z.zip")
    assert any("times its packed size" in skip.reason for skip in data.skipped)
    assert "outside.wav" in data.names and len(data) == 3


def test_a_wish_that_cannot_be_met(tmp_path: Path) -> None:
    save(tmp_path / "a.wav", tone())
    with pytest.raises(UsageError, match=r"there is nothing at .*nowhere"):
        open_audio(tmp_path / "nowhere")
    for keys in (
        {"sample_rate": 5},
        {"loudness": 3.0},
        {"pattern": "{label}_{label}"},
        {"pattern": "*"},
        {"pattern": "{"},
    ):
        with pytest.raises(UsageError, match=next(iter(keys))):
            open_audio(tmp_path, **keys)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="fits none of the 1 file name"):
        open_audio(tmp_path, pattern="{label}_{take}")
