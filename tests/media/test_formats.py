"""Files are known by their content where the ending tells nothing; no image is dropped without a word."""

from collections.abc import Callable
from pathlib import Path

import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.media.image.describe import describe
from luoxia.media.image.images import open_images
from luoxia.media.kinds import ending_by
from luoxia.media.text.describe import holds_text
from pictures import encode, noise, write

Photos = Callable[..., Path]
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@pytest.mark.parametrize(
    "file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "QOI"]
)
def test_images_without_an_ending_are_read(tmp_path: Path, file_format: str) -> None:
    content = encode(noise(16, 16), file_format)
    for name in ("0" * 40, "photo.jpg_large", "photo.1"):
        write(tmp_path / name, content)
    assert len(open_images(tmp_path)) == 3


@pytest.mark.parametrize(
    ("content", "ending"),
    [
        (HEIC, ".heic"), (b"\0\0\0\x14ftypmif1\0\0\0\0avif", ".avif"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", ".cr3"),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2", ".mp4"), (b"\xff\x0a", ".jxl"), (b"8BPS", ".psd"),
        (b"<?xml version='1.0'?>\n<svg/>", ".svg"), (bytes(128) + b"DICM", ".dcm"), (b"hello", ""),
        (b"", ""), (b"BMW", ""),
    ],
)  # fmt: skip
def test_first_bytes_tell(content: bytes, ending: str) -> None:
    assert ending_by(content) == ending


def test_formats_that_are_not_read_are_listed_with_what_to_do(photos: Photos) -> None:
    folder = photos(".")
    before = open_images(folder).fingerprint
    for name in ("IMG_1.HEIC", "no_ending", "misnamed.jpg", "drawing.svg", "clip.MOV"):
        write(folder / name, HEIC if name[0] in "Inm" else b"")
    write(folder / "notes.txt", "notes")
    write(folder / "more", "text")
    found = describe(folder)
    reasons = {skip.name: skip.reason for skip in found.skipped}
    assert reasons.keys() == {"IMG_1.HEIC", "no_ending", "misnamed.jpg", "drawing.svg", "clip.MOV"}
    assert all(
        "HEIC" in reasons[name] and "convert it" in reasons[name] for name in reasons if name[0] in "Inm"
    )
    assert found.other_files == {".txt": 1, "none": 1}
    (folder / "misnamed.jpg").unlink()
    dataset = open_images(folder)
    assert dataset.fingerprint == before
    assert len(dataset.skipped) == 4


def test_images_without_an_ending_beside_notes_are_images(tmp_path: Path) -> None:
    write(tmp_path / ("0" * 40), encode(noise(8, 8)))
    write(tmp_path / "README.md", "notes")
    assert not holds_text(tmp_path)
    (tmp_path / ("0" * 40)).write_bytes(b"text")
    assert holds_text(tmp_path)


def test_what_cannot_be_looked_into_is_listed(photos: Photos) -> None:
    folder = photos(".")
    (folder / "gone").symlink_to(folder / "nowhere")
    assert [skip.name for skip in describe(folder).skipped] == ["gone"]


def test_a_folder_of_nothing_else_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "a.heic", HEIC)
    with pytest.raises(LuoxiaError, match=r"a\.heic: HEIC, which is not read: convert it to PNG or JPEG"):
        open_images(tmp_path)


def test_folders_of_the_system_are_passed_over(photos: Photos) -> None:
    folder = photos(".")
    for name in (
        "@eaDir",
        "#recycle",
        ".thumbnails",
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
    ):
        write(folder / name / "0.png", encode(noise(20, 20)))
    for name in ("Thumbs.db", "desktop.ini", "._0.png"):
        write(folder / name, b"\0")
    found = describe(folder)
    assert (found.count, found.ignored, found.skipped) == (3, 0, [])
