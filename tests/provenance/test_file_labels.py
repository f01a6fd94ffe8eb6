"""What is recognized as Luoxia's own: by the label that a file carries, never by its name."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from luoxia.core.errors import UsageError
from luoxia.core.files import to_json, write_file
from luoxia.media.image.writer import read_parameters, write_arrays, write_gif, write_png
from luoxia.media.text.sources import read_texts
from luoxia.provenance.labels import is_ours, read_sidecar, sidecar, write_beside, write_rows

LABEL = {"recipe": "dcgan", "run": "dcgan-1", "step": 20, "generator": "Luoxia 0.1.0"}
IMAGE = np.zeros((5, 7, 3), np.uint8)


def test_each_format_carries_a_label_that_is_found(tmp_path: Path) -> None:
    row = json.dumps({"text": "x", **LABEL}) + "\n"
    written = [
        write_png(tmp_path / "a.png", IMAGE, LABEL),
        write_gif(tmp_path / "a.gif", np.zeros((2, 8, 8, 3), np.uint8), LABEL),
        write_arrays(tmp_path / "a.npz", {"z": np.zeros(3)}, LABEL),
        write_file(tmp_path / "a.jsonl", row * 3),
        write_beside(tmp_path / "a.txt", "text\n", LABEL),
        write_beside(tmp_path / "a.npy", b"\x93NUMPY", LABEL),
        write_beside(tmp_path / "no ending", "text\n", LABEL),
    ]
    assert all(map(is_ours, written))
    assert is_ours(sidecar(tmp_path / "a.txt"))


def test_a_video_carries_its_label(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from luoxia.media.image.animation import write_mp4

    label = {**LABEL, "run": "落霞"}
    assert is_ours(write_mp4(tmp_path / "a.mp4", np.zeros((2, 16, 16, 3), np.uint8), label))
    (tmp_path / "b.mp4").write_bytes(b"no video")
    assert not is_ours(tmp_path / "b.mp4")


def test_what_others_wrote_is_not_ours(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    Image.fromarray(IMAGE).save(tmp_path / "a.gif", comment=b'{"workflow": 1}')
    np.savez(tmp_path / "a.npz", parameters=np.array('{"lr": 1}'))
    np.savez(tmp_path / "b.npz", z=np.zeros(3))
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "recipe": "soup"}) + "\n")
    (tmp_path / "a.txt").write_text("mine")
    (tmp_path / "a.txt.label.json").write_text("{}")
    (tmp_path / "empty.txt").touch()
    for path in [*tmp_path.iterdir(), tmp_path, tmp_path / "not there.png"]:
        assert not is_ours(path), path


TEXT_LABEL = {"text": "x", "prompt": "", "seed": 0, "index": 0}
OLD_RUN = {"recipe": "gpt", "run": "gpt-1", "step": 20, "data": "0123456789abcdef" * 2}
OLD_FOLDER = {"architecture": "LlamaForCausalLM", "folder": "llama"}


@pytest.mark.parametrize(
    ("row", "ours"),
    [
        ({**TEXT_LABEL, **OLD_RUN}, True),
        ({**TEXT_LABEL, **OLD_FOLDER}, True),
        ({"text": "x", "generator": "Luoxia 0.0.1"}, True),
        ({"text": "x", "recipe": "soup", "run": 3, "step": 1, "notes": "salt"}, False),
        ({"text": "x", "recipe": "soup", "run": "a", "step": 1, "data": "2024"}, False),
        ({**TEXT_LABEL, **OLD_RUN, "step": True}, False),
        ({**TEXT_LABEL, **OLD_RUN, "generator": "PipeOrgan 2"}, False),
        ({"text": "x", "architecture": "Gothic", "folder": "churches"}, False),
        ({"text": "x", "generator": "Luoxiang"}, False),
        ({"text": "x", "generator": ["Luoxia 1"]}, False),
    ],
)
def test_rows_without_the_name_of_a_generator_are_ours_by_a_whole_label_alone(
    tmp_path: Path, row: dict[str, object], ours: bool
) -> None:
    rows = write_file(tmp_path / "a.jsonl", json.dumps(row) + "\n")
    assert is_ours(rows) == ours
    write_file(tmp_path / "b.txt", "one")
    assert [skip.name for skip in read_texts(tmp_path).skips.listed] == ["a.jsonl"] * ours


def test_what_was_changed_or_added_to_is_no_longer_ours(tmp_path: Path) -> None:
    text = write_beside(tmp_path / "a.txt", "text\n", LABEL)
    text.write_text("text, mended by hand\n")
    assert not is_ours(text)
    rows = write_file(tmp_path / "a.jsonl", json.dumps(LABEL) + "\n")
    with rows.open("a") as file:
        file.write('{"text": "mine"}\n')
    assert not is_ours(rows)


ROWS = [{"text": text, "share": 0.1, **LABEL} for text in ("one", "two \udcc9", "三")]


def test_rows_that_somebody_mended_are_no_longer_ours(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", ROWS)
    assert is_ours(path)
    lines = path.read_text().splitlines(keepends=True)
    one = json.loads(lines[0])
    mended = [json.dumps(row) + "\n" for row in ({**one, "text": "uno"}, {**one, "rating": 5})]
    for changed in (
        [mended[0], *lines[1:]],
        [mended[1], *lines[1:]],
        lines[1:],
        lines[:1],
        lines + lines[:1],
    ):
        path.write_text("".join(changed))
        assert not is_ours(path)
    write_file(path, "".join(to_json(row) + "\n" for row in ROWS))  # as it was before there were digests
    assert is_ours(path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_that_somebody_changed_is_no_longer_ours(tmp_path: Path, channels: int) -> None:
    path = write_png(
        tmp_path / "a.png", np.arange(35 * channels, dtype=np.uint8).reshape(5, 7, channels), LABEL
    )
    assert is_ours(path) and read_parameters(path) == LABEL
    with Image.open(path) as image:
        turned, label = image.transpose(Image.Transpose.ROTATE_180), image.info["luoxia"]
        exif = image.getexif()
        image.load()
    exif[0x0112] = 3
    for label_of_now, picture, more in (
        (label, turned, {}), (label, image, {"exif": exif}), (to_json(LABEL), turned, None),
    ):  # fmt: skip
        info = PngInfo()
        info.add_itxt("luoxia", label_of_now)
        picture.save(path, pnginfo=info, **(more or {}))
        assert is_ours(path) == (more is None)  # a label of before digests


def test_a_link_is_never_ours(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", IMAGE, LABEL)
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    assert not is_ours(tmp_path / "link.png")


def test_a_label_beside_says_of_which_content_it_is(tmp_path: Path) -> None:
    write_beside(tmp_path / "a.csv", "a\n1\n", {**LABEL, "of": "b.csv"})
    label = read_sidecar(tmp_path / "a.csv.label.json")
    assert label is not None and label["of"] == "b.csv" and len(label["sha256"]) == 64
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"


def test_names_of_bytes_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    label = {**LABEL, "of": "\udcc9\udcbd.png", "run": "落霞"}
    assert json.loads(to_json(label)) == label
    assert read_parameters(write_png(tmp_path / "a.png", IMAGE, label)) == label
    assert is_ours(write_beside(tmp_path / "a.txt", "half \udcc9", label))


def test_hostile_images_are_one_sentence(tmp_path: Path) -> None:
    deep, bomb = tmp_path / "deep.png", tmp_path / "bomb.png"
    info = PngInfo()
    info.add_text("luoxia", "[" * 100_000)
    Image.fromarray(IMAGE).save(deep, pnginfo=info)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    cut = tmp_path / "cut.png"
    cut.write_bytes(deep.read_bytes()[:30])
    for path in (deep, bomb, cut):
        with pytest.raises(UsageError, match="cannot be read"):
            read_parameters(path)
        assert not is_ours(path)
