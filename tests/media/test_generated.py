"""What Luoxia wrote is never data: runs, sheets and samples beside a person's own files."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.media.files import walk
from luoxia.media.image.describe import describe
from luoxia.media.image.images import open_images
from luoxia.media.image.writer import write_folder, write_gif, write_grid
from luoxia.provenance.label import Label
from pictures import encode, noise, write

Photos = Callable[..., Path]
LABEL = Label(recipe="dcgan", run="dcgan-1", step=20, data="0123456789abcdef" * 2)
IMAGES = np.stack([np.asarray(noise(20, 20, seed=seed)) for seed in range(4)])


def make_run(path: Path) -> Path:
    write(path / "run.json", json.dumps({"format": 1, "luoxia": "0.1", "recipe": "dcgan"}))
    write(path / "samples" / "step_000020.png", encode(noise(20, 20)))  # even without a label
    write(path / "model" / "model.safetensors", b"")
    write(path / "model" / "config.json", json.dumps({"format": 1, "kind": "x", "recipe": "dcgan"}))
    write(path / "model" / "README.md", "A card")
    return path


def make_samples(path: Path) -> Path:
    return write_folder(path, IMAGES, LABEL)


def test_runs_sheets_and_samples_in_the_data_are_left_out_and_listed(photos: Photos) -> None:
    folder = photos("cat", "dog")
    before = open_images(folder)
    make_run(folder / "runs" / "dcgan-1")
    make_samples(folder / "dog" / "made")
    write_grid(folder / "grid.png", IMAGES, LABEL.asked({"n": 4}))
    write_gif(folder / "walk.gif", IMAGES, LABEL.asked({"interpolate": 2}))
    dataset = open_images(folder)
    assert dataset.fingerprint == before.fingerprint
    assert dataset.classes == ("cat", "dog")
    assert [skip.name for skip in dataset.skipped] == [
        *(f"dog/made/{index:06d}.png" for index in range(4)), "grid.png", "runs/dcgan-1", "walk.gif",
    ]  # fmt: skip
    assert describe(folder).skipped == dataset.skipped


def test_generated_files_in_a_folder_of_their_own_are_data_but_for_sheets(tmp_path: Path) -> None:
    folder = make_samples(tmp_path / "run" / "made")
    make_run(tmp_path / "run")
    write_grid(folder / "sheet.png", IMAGES, LABEL.asked({"n": 4}))
    write(folder / "damaged.png", b"")
    dataset = open_images(folder)
    assert len(dataset) == 4
    assert [skip.name for skip in dataset.skipped] == ["damaged.png", "sheet.png"]


def test_a_run_that_is_named_itself_is_looked_into(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    make_run(run / "runs" / "another")
    dataset = open_images(run)
    assert dataset.names == ["samples/step_000020.png"]
    assert [skip.name for skip in dataset.skipped] == ["model", "runs/another"]


def test_nothing_but_what_luoxia_made_is_said(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    with pytest.raises(LuoxiaError, match="run: a run of Luoxia"):
        open_images(tmp_path)
    write_grid(tmp_path / "run" / "sheets" / "sheet.png", IMAGES, LABEL.asked({"n": 4}))
    with pytest.raises(LuoxiaError, match=r"sheet\.png: a picture that Luoxia made"):
        open_images(tmp_path / "run" / "sheets")


def test_files_of_the_same_names_that_are_a_persons_own_are_data(photos: Photos) -> None:
    folder = photos("a/x", "a/y")
    write(folder / "a" / "run.json", '{"speed": 3}')
    write(folder / "a" / "x" / "config.json", "{}")
    write(folder / "a" / "x" / "model.safetensors", b"")
    assert len(open_images(folder)) == 6


def test_runs_in_a_zip_are_left_out(tmp_path: Path) -> None:
    make_run(tmp_path / "files" / "runs" / "dcgan-1")
    write(tmp_path / "files" / "0.png", encode(noise(8, 8)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "files").rglob("*"):
            archive.write(file, file.relative_to(tmp_path / "files"))
    dataset = open_images(tmp_path / "a.zip")
    assert dataset.names == ["0.png"]
    assert [skip.name for skip in dataset.skipped] == ["runs/dcgan-1", "runs/dcgan-1/model"]


def test_text_and_images_walk_the_same_way(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "gpt-1")
    write(tmp_path / "a" / "text.txt", "text")
    write(tmp_path / "@eaDir" / "text.txt", "text")
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    left_out: list[tuple[Path, str]] = []
    walked = [
        folder / name
        for folder, names in walk(tmp_path, lambda *skip: left_out.append(skip))
        for name in names
    ]
    assert walked == [tmp_path / "a" / "text.txt"]
    assert [folder for folder, _ in left_out] == [tmp_path / "runs" / "gpt-1"]
