"""A label comes back from every format as it was written; files whose content is another are recognized."""

import errno
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from formats.carriers import IMAGE, WAVE, WRITE
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import to_json, write_file
from luoxia.formats import jsonl, md, mp3, npz, png, sidecar, txt
from luoxia.formats.registry import MODULES, checked_label, format_of, is_ours, read_label
from luoxia.media.text.sources import read_texts
from luoxia.provenance.label import FORMAT, InvalidLabelError, Label, Parent

LABEL = Label(
    recipe="dcgan", run="落霞", step=20, model="ab" * 32, data="cd" * 16, seed=2**62, index=3,
    controls={"label": None, "truncation": 0.7, "stop": ["a", "b"]},
    parents=(Parent("photo.jpg", "ef" * 32), Parent("half \udcc9")),
)  # fmt: skip
NOTES = {
    "quotes": "\"'`\\ <b>&amp;</b> --> */ ]]> %s {0}",
    "newlines": "a\r\nb\n\nc\x85d\u2028e\u2029f\n---\n",
    "control": "\0\x01\x1b[31m\x7f\x9f\ufeff\ufffe",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 \udcc9",
    "right to left": "\u202eשלום עולם\u202c مرحبا",
    "a megabyte": "落" * 2**20,
}


def needs(name: str) -> None:
    """Skip what cannot be written here."""
    package = {".mp4": "av", ".flac": "soundfile", ".ogg": "soundfile", ".mp3": "soundfile"}.get(
        Path(name).suffix
    )
    if package:
        pytest.importorskip(package)


def test_every_format_has_a_case() -> None:
    assert {Path(name).suffix for name in WRITE} - {""} == MODULES.keys()


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("name", WRITE)
def test_a_label_comes_back(name: str, note: str, tmp_path: Path) -> None:
    needs(name)
    label = replace(LABEL, note=NOTES[note], controls={NOTES[note][:99]: NOTES[note][:99], **LABEL.controls})
    path = WRITE[name](label, tmp_path / name)
    found = checked_label(path)
    assert found is not None and is_ours(path) and read_label(path) == found
    index = None if name.endswith("jsonl") else label.index  # the rows' own
    assert replace(found, sha256="") == replace(label, index=index)


class Full(io.FileIO):
    """A file on a disk that is full."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("name", WRITE)
@pytest.mark.parametrize("broken", ["write", "fsync", "replace", "second replace"])
def test_a_full_disk_leaves_nothing(
    name: str, broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(name)
    WRITE[name](LABEL, tmp_path / "old" / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    many = len(before)
    real, called = Path.replace, 0

    def full(*arguments: object) -> object:
        nonlocal called
        called += 1
        if broken == "second replace" and called < many:
            return real(*arguments)  # type: ignore[arg-type]
        raise OSError(errno.ENOSPC, "No space left on device")

    if broken == "write":
        monkeypatch.setattr(Path, "open", lambda path, mode: io.BufferedRandom(Full(path, "x+b")))
    else:
        monkeypatch.setattr(*((os, "fsync") if broken == "fsync" else (Path, "replace")), full)
    for folder in ("old", "new"):
        called = 0
        with pytest.raises(LuoxiaError, match=r"^cannot write .*: No space left on device$"):
            WRITE[name](replace(LABEL, seed=1), tmp_path / folder / name)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# ------------------------------------------------------------------ what each carrier holds


def test_a_text_may_carry_its_label_in_its_last_line(tmp_path: Path) -> None:
    path = txt.write("one\ntwo\n", LABEL, tmp_path / "a.txt", inline=True)
    *lines, last = path.read_text().splitlines()
    assert lines == ["one", "two"] and json.loads(last)["luoxia"]["recipe"] == "dcgan"
    sidecar.beside(path).unlink()
    assert is_ours(path)
    path.write_text("uno\n" + path.read_text())
    with pytest.raises(InvalidLabelError, match="label of other content"):
        checked_label(path)
    path.write_text(path.read_text() + "three\n")
    assert checked_label(path) is None


FRONT = [
    "# One\n",
    "",
    "---\ntitle: One\n---\ntext\n",
    "---\n",
    "---\n---\nx",
    "---\nnever closed\n",
    "a\r\n",
]


@pytest.mark.parametrize("text", FRONT)
def test_front_matter_is_yaml_and_the_text_stays(text: str, tmp_path: Path) -> None:
    path = md.write(text, replace(LABEL, note=NOTES["control"]), tmp_path / "a.md")
    assert is_ours(path)
    written = path.read_bytes().decode()
    front = yaml.safe_load(written.split("---\n")[1])
    assert front["luoxia"]["note"] == NOTES["control"] and front["luoxia"]["run"] == "落霞"
    assert front.get("title") == ("One" if "title" in text else None)
    assert written.endswith(text.removeprefix("---\n"))
    path.write_text(written + "more")
    assert not is_ours(path)


def test_rows_hold_the_label_and_their_number(tmp_path: Path) -> None:
    rows = [{"text": "one", "luoxia": "mine"}, {"text": "two"}]
    read = [json.loads(line) for line in jsonl.write(rows, LABEL, tmp_path / "a.jsonl").open()]
    assert [(row["text"], row["luoxia"]["index"], row["luoxia"]["run"]) for row in read] == [
        ("one", 0, "落霞"), ("two", 1, "落霞"),
    ]  # fmt: skip


def test_a_compressed_label_in_a_png_is_read(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_itxt("luoxia", to_json(LABEL.as_dict()), zip=True)
    Image.fromarray(IMAGE).save(tmp_path / "a.png", pnginfo=info)
    assert read_label(tmp_path / "a.png") == LABEL


# ------------------------------------------------------------------ whose a file is


def test_what_others_wrote_is_not_ours(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    Image.fromarray(IMAGE).save(tmp_path / "a.gif", comment=b'{"workflow": 1}')
    np.savez(tmp_path / "a.npz", parameters=np.array('{"lr": 1}'))
    np.savez(tmp_path / "b.npz", z=np.zeros(3), header=np.zeros(2))
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "recipe": "soup"}) + "\n")
    (tmp_path / "b.jsonl").write_text("no JSON\n")
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "a.txt.label.json").write_text("{}")
    (tmp_path / "a.md").write_text("---\nluoxia: mine\n---\n")
    (tmp_path / "other.txt").write_text('{"luoxia": {"system": "Diffusers"}}')
    for path in [*tmp_path.iterdir(), tmp_path, tmp_path / "not there.png"]:
        assert not is_ours(path), path


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.txt", "no ending", "a.csv", "a.jsonl", "a.md"])
@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda data: data + data[-8:]])
def test_what_was_changed_is_no_longer_ours(name: str, change: Callable, tmp_path: Path) -> None:
    path = WRITE[name](LABEL, tmp_path / name)
    if name == "a.png":
        with Image.open(path) as image:
            info = PngInfo()
            info.add_itxt("luoxia", image.info["luoxia"])
            image.transpose(Image.Transpose.ROTATE_180).save(path, pnginfo=info)
    else:
        path.write_bytes(change(path.read_bytes()))
    assert not is_ours(path)
    if name != "a.jsonl":
        with pytest.raises(InvalidLabelError, match=f"{name} has a label of other content"):
            checked_label(path)


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_a_byte_of_a_moving_picture_that_was_changed_is_noticed(name: str, tmp_path: Path) -> None:
    needs(name)
    path = WRITE[name](replace(LABEL, note='"sha256": "' + 64 * "0"), tmp_path / name)
    content = path.read_bytes()
    digest = read_label(path).sha256.encode()  # type: ignore[union-attr]
    place = content.index(digest)
    assert is_ours(path) and len(digest) == 64
    for at in (len(content) - 1, len(content) // 2, 40, place - 20):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert not is_ours(path), at
    path.write_bytes(content + b"\0")
    with pytest.raises(InvalidLabelError, match=f"{name} has a label of other content"):
        checked_label(path)


def test_an_array_or_a_fact_that_was_changed_is_noticed(tmp_path: Path) -> None:
    path = npz.write(
        {"z": np.zeros(3), "k": np.ones(2)}, LABEL, tmp_path / "a.npz", {"codec": "ab", "rate": 0.1}
    )
    assert is_ours(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays)  # the same content, without compression
    assert is_ours(path)
    header = json.loads(str(arrays["header"]))
    for change in (
        {"z": np.zeros(4)},
        {"k": np.ones(2, np.float32)},
        {"more": np.zeros(1)},
        {"header": np.array(json.dumps(header | {"codec": "cd"}))},
    ):
        np.savez(path, **(arrays | change))
        with pytest.raises(InvalidLabelError, match=r"a\.npz has a label of other content"):
            checked_label(path)


ROWS = [{"text": text, "share": 0.1} for text in ("one", "two \udcc9", "三")]


def test_rows_that_somebody_edited_are_no_longer_ours(tmp_path: Path) -> None:
    path = jsonl.write(ROWS, LABEL, tmp_path / "a.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    one = json.loads(lines[0])
    edited = [json.dumps(row) + "\n" for row in ({**one, "text": "uno"}, {**one, "rating": 5})]
    for changed in (
        [edited[0], *lines[1:]],
        [edited[1], *lines[1:]],
        lines[1:],
        lines[:1],
        lines + lines[:1],
    ):
        path.write_text("".join(changed))
        with pytest.raises(InvalidLabelError, match="other content"):
            checked_label(path)
    other = jsonl.write(ROWS[:1], LABEL, tmp_path / "b.jsonl").read_text()
    for changed, wrong in (
        ([*lines, "{"], "a row is not JSON"),
        ([*lines, other], "labels of different files"),
    ):
        path.write_text("".join(changed))
        with pytest.raises(InvalidLabelError, match=wrong):
            checked_label(path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_image_that_exif_turns_is_no_longer_ours(tmp_path: Path, channels: int) -> None:
    pixels = np.arange(35 * channels, dtype=np.uint8).reshape(5, 7, channels)
    path = png.write(pixels, LABEL, tmp_path / "a.png")
    assert is_ours(path)
    with Image.open(path) as image:
        image.load()
        info, exif = PngInfo(), image.getexif()
        info.add_itxt("luoxia", image.info["luoxia"])
    exif[0x0112] = 3
    image.save(path, pnginfo=info, exif=exif)
    assert not is_ours(path)


@pytest.mark.parametrize("name", ["a.png", "a.txt"])
def test_a_link_is_never_ours(name: str, tmp_path: Path) -> None:
    link = tmp_path / f"link{Path(name).suffix}"
    link.symlink_to(WRITE[name](LABEL, tmp_path / name))
    assert not is_ours(link) and read_label(link) is None
    with pytest.raises(LuoxiaError, match="is a link, which is not followed"):
        checked_label(link)


# ------------------------------------------------------------------ labels that lie, and hostile ones


def test_a_sidecar_that_lies(tmp_path: Path) -> None:
    real = txt.write("one\n", LABEL, tmp_path / "real.txt")
    other = write_file(tmp_path / "other.txt", "two\n")
    sidecar.beside(other).write_bytes(sidecar.beside(real).read_bytes())
    with pytest.raises(InvalidLabelError, match=r"other\.txt has a label of other content"):
        checked_label(other)
    sidecar.beside(other).write_text(json.dumps({"luoxia": Label(recipe="x").as_dict()}))
    with pytest.raises(InvalidLabelError, match="names no sha256"):
        checked_label(other)
    sidecar.beside(other).unlink()
    sidecar.beside(other).symlink_to(sidecar.beside(real))
    assert checked_label(other) is None


HOSTILE = {
    "not JSON": ("{", "damaged JSON"),
    "deep": ("[" * 100_000, "damaged JSON"),
    "a list": ("[]", "not a JSON object"),
    "nested": (json.dumps({"format": 1, "controls": {"a": json.loads("[" * 90 + "]" * 90)}}), "levels deep"),
    "future": (json.dumps({"format": FORMAT + 1, "system": "Luoxia"}), "upgrade luoxia"),
    "format": (json.dumps({"format": "1"}), "not a number from 1"),
    "step": (json.dumps({"format": 1, "step": "20"}), "the label's step is 20, not a whole number"),
    "boolean": (json.dumps({"format": 1, "seed": True}), "seed is True"),
    "run": (json.dumps({"format": 1, "run": ["\x1b[31m"]}), "run is "),
    "controls": (json.dumps({"format": 1, "controls": []}), "controls is "),
    "parents": (json.dumps({"format": 1, "parents": [{"name": 3}]}), "parents are not a list"),
    "endless number": ('{"format": ' + "1" * 10_000 + "}", "damaged JSON"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", ["a.png", "a.txt", "a.md"])
def test_a_hostile_label_is_one_sentence(name: str, kind: str, tmp_path: Path) -> None:
    text, wrong = HOSTILE[kind]
    path = tmp_path / name
    if name == "a.png":
        info = PngInfo()
        info.add_text("luoxia", text)
        Image.fromarray(IMAGE).save(path, pnginfo=info)
    elif name == "a.md":
        path.write_text(f"---\nluoxia: {text}\n---\n")
    else:
        path.write_text("text")
        wrapped = text if wrong == "damaged JSON" else f'{{"luoxia": {text}}}'
        if kind == "a list":
            return
        sidecar.beside(path).write_text(wrapped)
    with pytest.raises(InvalidLabelError, match=wrong) as caught:
        checked_label(path)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value) and len(str(caught.value)) < 500
    assert read_label(path) is None and not is_ours(path)


def test_a_label_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = png.write(IMAGE, replace(LABEL, note="x" * 2**24), tmp_path / "a.png")
    with pytest.raises(InvalidLabelError, match="larger than 16 MiB"):
        checked_label(path)


def test_archives_and_images_that_would_fill_the_memory(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<U500000000", "fortran_order": False, "shape": ()})
    for name, content in (("bomb", head.getvalue() + b"\0" * (2**26 + 2**12)), ("short", head.getvalue())):
        with zipfile.ZipFile(tmp_path / f"{name}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("header.npy", content)
        assert (tmp_path / f"{name}.npz").stat().st_size < 2**20
        with pytest.raises(InvalidLabelError, match="cut short or too large"):
            checked_label(tmp_path / f"{name}.npz")

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = chunk(b"IHDR", (60_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0]))
    record = to_json(replace(LABEL, sha256="ab" * 32).as_dict()).encode()
    text = chunk(b"tEXt", b"luoxia\0" + record)
    packed = chunk(b"iTXt", b"luoxia\0\1\0\0\0" + zlib.compress(b" " * (2**24 + 1), 1))
    for name, label, wrong in (("a", text, "other content"), ("b", packed, "larger than 16 MiB")):
        path = tmp_path / f"{name}.png"
        path.write_bytes(png.PNG_START + header + label + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        with pytest.raises(InvalidLabelError, match=wrong):
            checked_label(path)


@pytest.mark.parametrize("name", WRITE)
def test_files_that_are_cut_or_altered_never_raise(name: str, tmp_path: Path) -> None:
    needs(name)
    data = WRITE[name](LABEL, tmp_path / name).read_bytes()
    path = tmp_path / name
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(data), 20):
        path.write_bytes(data[:length])
        is_ours(path), read_label(path)
    for _ in range(40):
        altered = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            altered[place] = rng.integers(256)
        path.write_bytes(altered)
        is_ours(path), read_label(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in WRITE:
        os.mkfifo(tmp_path / name)
        assert not is_ours(tmp_path / name)
        with pytest.raises(LuoxiaError, match="cannot be read"):
            checked_label(tmp_path / name)


def test_texts_with_a_label_inside_are_no_data(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", "one")
    md.write("# Two\n", LABEL, tmp_path / "b.md")
    md.write("# Three\n", LABEL, tmp_path / "c.md").write_text("edited by a person")
    txt.write("four\n", replace(LABEL, note="x" * 2**17), tmp_path / "d.txt", inline=True)
    sidecar.beside(tmp_path / "d.txt").unlink()
    source = read_texts(tmp_path)
    assert [skip.name for skip in source.skips.listed] == ["b.md", "d.txt"]
    assert [document.text for document in source.documents()] == ["one", "edited by a person"]


def test_rows_with_damaged_labels_are_learned_as_a_persons_own(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "luoxia": {"format": 99}}) + "\n")
    write_file(tmp_path / "b.txt", "one")
    assert not read_texts(tmp_path).skips.listed


# ------------------------------------------------------------------ waves

WAVES = ["a.wav", "a.flac", "a.ogg", "a.mp3"]


@pytest.mark.parametrize("name", WAVES)
def test_a_wave_that_was_changed_is_no_longer_ours(name: str, tmp_path: Path) -> None:
    path = WRITE[name](replace(LABEL, note="落" * 50_000), tmp_path / name)
    data = path.read_bytes()
    altered = bytearray(data)
    altered[2000 if name == "a.wav" else -300] ^= 1  # the samples come before the label, or after it
    path.write_bytes(altered)
    with pytest.raises(InvalidLabelError, match=f"{name} has a label of other content"):
        checked_label(path)
    path.write_bytes(data if name == "a.wav" else data[:-9])
    assert is_ours(path) == (name == "a.wav")


@pytest.mark.parametrize("name", WAVES)
@pytest.mark.parametrize("channels", [1, 2])
def test_other_programs_read_what_was_written(name: str, channels: int, tmp_path: Path) -> None:
    av, soundfile = pytest.importorskip("av"), pytest.importorskip("soundfile")
    wave = WAVE[:, :channels]
    path = WRITE[name](replace(LABEL, note="x" * 200_000), tmp_path / name)
    module = format_of(path)
    module.write((wave[start : start + 700] for start in range(0, 4000, 700)), LABEL, path, 8000)  # type: ignore[attr-defined]
    found, rate = soundfile.read(path, always_2d=True)
    assert rate == 8000 and found.shape[1] == channels
    if name != "a.mp3":  # which has a delay
        assert len(found) == 4000
        assert np.abs(found - wave).max() < (0.1 if name == "a.ogg" else 2**-15)
    with av.open(str(path)) as container:
        metadata = {**container.metadata, **container.streams[0].metadata}
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert abs(samples - 4000) < 2500
    text = metadata.get("comment") or metadata.get("LUOXIA") or metadata["luoxia"]
    assert json.loads(text).get("luoxia", json.loads(text))["recipe"] == "dcgan"


def test_a_rate_that_a_format_cannot_hold(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    with pytest.raises(UsageError, match=r"\.mp3 cannot hold 9,000 Hz"):
        mp3.write(WAVE, LABEL, tmp_path / "a.mp3", 9000)
    assert not list(tmp_path.iterdir())
