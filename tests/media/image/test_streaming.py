"""Images that come in chunks are written as they come: the same files, in a memory that does not grow."""

import io
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import staged, write_file
from luoxia.formats.png import to_pillow
from luoxia.media.image import writer as writer
from luoxia.provenance.label import Label

LABEL = Label(recipe="dcgan", run="dcgan-1", step=20)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 9, 3), dtype=np.uint8)


def parts(images: np.ndarray = IMAGES, size: int = 3) -> Iterator[np.ndarray]:
    return (images[i : i + size] for i in range(0, len(images), size))


def test_a_sheet_of_chunks_is_that_of_the_whole(tmp_path: Path) -> None:
    for columns in (None, 2):
        whole = writer.write_grid(tmp_path / "a.png", IMAGES, LABEL, columns)
        some = writer.write_grid(tmp_path / "b.png", parts(), LABEL, columns, len(IMAGES))
        assert whole.read_bytes() == some.read_bytes()
        sheet = writer.grid(writer.enlarge(IMAGES, writer.TILE), columns)
        assert np.array_equal(np.asarray(Image.open(some)), sheet)


def test_a_folder_of_chunks_is_that_of_the_whole(tmp_path: Path) -> None:
    for name, images in (("a", IMAGES), ("b", parts())):
        writer.write_folder(tmp_path / name, images, LABEL)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 7
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_arrays_of_chunks_are_those_that_numpy_writes(tmp_path: Path) -> None:
    labels = np.arange(7)
    writer.write_npz(tmp_path / "a.npz", IMAGES, labels, LABEL)
    writer.write_npz(tmp_path / "b.npz", parts(), labels, LABEL, len(IMAGES))
    np.savez_compressed(tmp_path / "c.npz", images=IMAGES, labels=labels)
    for name in "abc":
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as file:
            assert np.array_equal(file["images"], IMAGES) and file["images"].dtype == np.uint8
            assert np.array_equal(file["labels"], labels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_an_animation_has_the_frames_that_pillow_would_write(tmp_path: Path, channels: int) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (5, 28, 28, channels), dtype=np.uint8)
    path = writer.write_gif(tmp_path / "a.gif", parts(frames, 2), LABEL)
    mode = "P" if channels > 1 else "L"
    first, *others = (to_pillow(frame).convert(mode) for frame in writer.enlarge(frames, 168))
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=60, loop=0)
    with Image.open(path) as made, Image.open(buffer) as expected:
        assert made.n_frames == expected.n_frames == 5
        for number in range(5):
            made.seek(number), expected.seek(number)
            assert made.info["duration"] == 60
            assert np.array_equal(np.asarray(made.convert("RGB")), np.asarray(expected.convert("RGB")))


def test_a_video_of_chunks_is_that_of_the_whole(tmp_path: Path) -> None:
    pytest.importorskip("av")
    whole = writer.write_mp4(tmp_path / "a.mp4", IMAGES, LABEL)
    assert writer.write_mp4(tmp_path / "b.mp4", parts(), LABEL).read_bytes() == whole.read_bytes()


WRITERS: dict[str, Callable[[Path, Iterator[np.ndarray], int], Any]] = {
    "npz": lambda path, chunks, n: writer.write_npz(path / "a.npz", chunks, None, LABEL, n),
    "folder": lambda path, chunks, n: writer.write_folder(path / "a", chunks, LABEL),
    "gif": lambda path, chunks, n: writer.write_gif(path / "a.gif", chunks, LABEL),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, kind: str) -> None:
    chunks, size = 30, (2, 200, 200, 3)

    def made(many: int) -> Iterator[np.ndarray]:
        return (np.full(size, i, np.uint8) for i in range(many))

    WRITERS[kind](tmp_path, made(1), size[0])  # what is imported and allocated once
    tracemalloc.start()
    WRITERS[kind](tmp_path, made(chunks), chunks * size[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.4 * chunks * np.prod(size)


def test_a_sheet_that_nothing_could_read_is_refused_before_it_is_made() -> None:
    with pytest.raises(
        UsageError, match=r"a sheet of 50,000 images of 256 × 256 would have 57,\d+ × 57,\d+ pixels"
    ):
        writer.check_grid(50_000, (256, 256, 3))
    with pytest.raises(UsageError, match=r"set out=FOLDER/ or out=FILE\.npz"):
        writer.check_grid(2000, (256, 256, 3), 7)
    writer.check_grid(1200, (256, 256, 3))
    writer.check_grid(10_000, (28, 28, 1))


# ------------------------------------------------------------------ whole or not at all


def test_nothing_is_left_of_what_was_broken_off(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield IMAGES[:3]
        raise KeyboardInterrupt

    for name, write in WRITERS.items():
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / name, broken(), 7)
        left = [path.name for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert left == [] or (name == "folder" and all(x.endswith(".png") and x[0] != "." for x in left))


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for write in WRITERS.values():
        with pytest.raises(LuoxiaError, match=r"^cannot write .*: No space left on device$"):
            write(tmp_path, parts(), 7)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_two_threads_write_one_file_whole(tmp_path: Path) -> None:
    path, started = tmp_path / "a.txt", threading.Barrier(2)

    def write(text: str) -> None:
        with staged(path) as file:
            started.wait(10)
            file.write(text.encode() * 1000)
            started.wait(10)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in ("a" * 1000, "b" * 1000)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    assert write_file(tmp_path / ("x" * 251 + ".txt"), "x").is_file()
    with pytest.raises(LuoxiaError, match="File name too long"):
        write_file(tmp_path / ("x" * 300), "x")
    assert len(list(tmp_path.iterdir())) == 1
