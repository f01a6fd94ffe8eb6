import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from luoxia import __version__
from luoxia.core.errors import LuoxiaError
from luoxia.core.files import write_file
from luoxia.formats import png
from luoxia.formats.registry import read_label
from luoxia.media.image.writer import enlarge, grid, write_folder, write_gif, write_grid, write_npz
from luoxia.provenance.label import Label

LABEL = Label(recipe="dcgan", seed=3, data='落霞 & "quotes"', controls={"label": None})


def label_in(path: Path) -> Label | None:
    """The label, without what the writer adds."""
    label = read_label(path)
    return None if label is None else replace(label, sha256="")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# ------------------------------------------------------------------ layout


def test_a_grid_lays_images_out_row_by_row() -> None:
    images = noise(5, 3, 4, 3)
    sheet = grid(images, columns=2, gap=1, background=7)
    assert sheet.shape == (3 * 4 + 1, 2 * 5 + 1, 3)
    for i, image in enumerate(images):
        top, left = 1 + i // 2 * 4, 1 + i % 2 * 5
        assert (sheet[top : top + 3, left : left + 4] == image).all()
    assert (sheet[::4] == 7).all()
    assert (sheet[:, ::5] == 7).all()
    assert (sheet[9:, 5:] == 7).all()  # the place of a sixth


@pytest.mark.parametrize(("shape", "columns"), [((16, 8, 8, 1), 4), ((9, 8, 16, 1), 3), ((1, 8, 8, 1), 1)])
def test_a_grid_is_about_square(shape: tuple[int, ...], columns: int) -> None:
    height, width, _ = grid(noise(*shape), gap=0).shape
    assert max(height, width) <= 2 * min(height, width)
    if shape[1] == shape[2]:
        assert width == columns * shape[2]


def test_enlarging_repeats_pixels() -> None:
    images = noise(2, 4, 6, 3)
    large = enlarge(images, 8)
    assert large.shape == (2, 8, 12, 3)
    assert (large[:, ::2, ::2] == images).all()
    assert (large[:, 1::2, 1::2] == images).all()
    assert enlarge(noise(2, 100, 100, 3), 8).shape == (2, 100, 100, 3)


# ------------------------------------------------------------------ what is written is what is read


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_and_parameters_come_back_exactly(tmp_path: Path, channels: int) -> None:
    image = noise(5, 7, channels)
    path = png.write(image, LABEL, tmp_path / "new" / "a.png")
    with Image.open(path) as opened:
        assert (np.asarray(opened).reshape(image.shape) == image).all()
        assert opened.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        assert opened.info["Software"] == f"Luoxia {__version__}"
    assert label_in(path) == LABEL


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_sheet_of_any_channels(tmp_path: Path, channels: int) -> None:
    path = write_grid(tmp_path / "a.png", noise(4, 8, 8, channels), LABEL)
    with Image.open(path) as opened:
        assert min(opened.size) >= 2 * 56
    assert label_in(path) == LABEL


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (png.write(noise(5, 7, 3), LABEL, tmp_path / name) for name in ("a.png", "b.png"))
    assert one.read_bytes() == two.read_bytes()


def test_an_array_file(tmp_path: Path) -> None:
    images, labels = noise(4, 5, 7, 3), np.arange(4)
    with np.load(write_npz(tmp_path / "a.npz", images, labels, LABEL)) as file:
        assert sorted(file) == ["header", "images", "labels"]
        assert (file["images"] == images).all()
        assert (file["labels"] == labels).all()
        label = json.loads(str(file["header"]))["luoxia"]
        assert len(label.pop("sha256")) == 64
        assert label == LABEL.as_dict()
    with np.load(write_npz(tmp_path / "b.npz", images, None, LABEL)) as file:
        assert sorted(file) == ["header", "images"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_animation(tmp_path: Path, channels: int) -> None:
    path = write_gif(tmp_path / "a.gif", noise(3, 28, 28, channels), LABEL)
    with Image.open(path) as opened:
        assert opened.n_frames == 3
        assert opened.size == (168, 168)
        assert opened.info["loop"] == 0
    assert label_in(path) == LABEL


def test_a_folder_keeps_no_image_of_a_longer_writing(tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_text("not Luoxia's")
    write_folder(tmp_path, noise(4, 5, 7, 3), LABEL)
    write_folder(tmp_path, noise(2, 5, 7, 3), LABEL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000000.png", "000001.png", "mine.png"]
    assert label_in(tmp_path / "000001.png") == replace(LABEL, index=1)


@pytest.mark.parametrize("content", ["no image", "", None])
def test_reading_what_is_no_image(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_text(content)
    assert read_label(path) is None


def test_reading_somebody_elses_image(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 7, 3)).save(tmp_path / "a.png")
    assert read_label(tmp_path / "a.png") is None


# ------------------------------------------------------------------ whole or not at all


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.txt"
    write_file(path, "first")
    write_file(path, "落霞")
    assert path.read_text(encoding="utf-8") == "落霞"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = write_file(tmp_path / "a.txt", "old")
    monkeypatch.setattr(*((os, "fsync") if broken == "fsync" else (Path, "replace")), full)
    with pytest.raises(LuoxiaError) as caught:
        write_file(path, "new")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    write_file(tmp_path / "a", "x")
    with pytest.raises(LuoxiaError, match=r"^cannot write .*: (Not a directory|File exists)$"):
        write_file(tmp_path / "a" / "b", "x")
