"""Images of more than 8 bits: black and white are decided once for a data set, by type, tags and extent."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from luoxia.media.image.describe import describe
from luoxia.media.image.images import open_images
from luoxia.media.image.originals import open_originals
from pictures import encode, write

KINDS = {"u": 1, "i": 2, "f": 3}


def tiff(
    values: NDArray[np.generic], photometric: int = 1, order: str = "<", **more: tuple[int, float]
) -> bytes:
    """A TIFF of one channel; ``more``: numbers of tags as t280=(type, value)."""
    height, width = values.shape
    data, bits = values.astype(values.dtype.newbyteorder(order)).tobytes(), values.dtype.itemsize * 8
    tags = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
    ]
    tags += [(277, 3, 1), (278, 3, height), (279, 4, len(data)), (339, 3, KINDS[values.dtype.kind])]
    tags += [(int(name[1:]), *value) for name, value in more.items()]
    entries = b"".join(entry(order, tag, kind, int(value)) for tag, kind, value in sorted(tags))
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    return start + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def entry(order: str, tag: int, kind: int, value: int) -> bytes:
    form = f"{order}HHIHH" if kind == 3 else f"{order}HHII"
    return struct.pack(form, tag, kind, 1, value, *([0] if kind == 3 else []))


def ramp(low: float, high: float, kind: str) -> NDArray[np.generic]:
    return np.tile(np.linspace(low, high, 16), (16, 1)).astype(kind)


def grays(folder: Path) -> list[int]:
    return open_images(folder).images[0, 0, :, 0].astype(int).tolist()


FULL = np.rint(np.linspace(0, 255, 16))


@pytest.mark.parametrize(
    ("low", "high", "kind"),
    [
        (0, 65535, "u2"), (0, 4095, "u2"), (30000, 31000, "u2"), (-1024, 3071, "i2"), (-128, 127, "i1"),
        (0, 65535, "u4"), (0, 4e9, "u4"), (-1e6, 1e6, "i4"), (0, 1, "f4"), (-1, 1, "f4"), (0, 1e-3, "f4"),
        (0, 1.5, "f4"), (-40, 3000, "f4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("photometric", [0, 1])
def test_the_whole_range_is_used(
    tmp_path: Path, low: float, high: float, kind: str, photometric: int
) -> None:
    write(tmp_path / "a.tif", tiff(ramp(low, high, kind), photometric))
    found = np.array(grays(tmp_path))
    assert np.abs(found - (FULL if photometric else 255 - FULL)).max() <= 1
    assert describe(tmp_path).fingerprint == open_images(tmp_path).fingerprint


def test_all_images_of_a_data_set_have_one_range(tmp_path: Path) -> None:
    for index, high in enumerate((100, 200, 400)):
        write(tmp_path / f"{index}.tif", tiff(ramp(0, high, "f4")))
    dataset = open_images(tmp_path)
    assert dataset.images.max((1, 2, 3)).tolist() == [64, 128, 255]
    assert dataset.notes == ("images of float32: 0 is read as black, 400 as white",)
    read = [pixels for *_, pixels in open_originals(str(tmp_path)).read(1)]
    assert [pixels.max() for pixels in read if not isinstance(pixels, str)] == [64, 128, 255]


def test_what_a_file_says_of_its_range_is_believed(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", tiff(ramp(0, 8000, "u2"), t280=(3, 0), t281=(3, 16000)))
    assert max(grays(tmp_path)) == 128
    write(tmp_path / "a.tif", tiff(ramp(0, 8000, "u2"), t280=(3, 0), t281=(3, 100)))  # it is wrong
    assert max(grays(tmp_path)) == 31


def test_numbers_that_are_none_are_black_or_white(tmp_path: Path) -> None:
    values = ramp(0, 2, "f4").copy()
    values[0, :3] = np.nan, np.inf, -np.inf
    write(tmp_path / "a.tif", tiff(values))
    assert grays(tmp_path)[:3] == [0, 255, 0]


def test_sixteen_bits_in_full_keep_their_fingerprint(tmp_path: Path) -> None:
    write(tmp_path / "a.png", encode(Image.fromarray(ramp(0, 40000, "u2"))))
    dataset = open_images(tmp_path)
    assert dataset.images.max() == 156
    assert dataset.notes == ()


@pytest.mark.parametrize("cached", [False, True])
def test_few_grays_are_said(tmp_path: Path, cached: bool) -> None:
    values = np.full((16, 16), 7, np.uint8)
    values[0, :8] = range(8)
    write(tmp_path / "a.png", encode(Image.fromarray(values)))
    if cached:
        open_images(tmp_path)
    assert any("fewer than a tenth of the grays" in note for note in describe(tmp_path).notes)
    write(tmp_path / "a.png", encode(Image.fromarray(ramp(0, 255, "u1"))))
    assert describe(tmp_path).notes == []


def test_a_tiff_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", tiff(ramp(0, 1000, "i2"), photometric=9))
    write(tmp_path / "b.png", encode(Image.fromarray(ramp(0, 255, "u1"))))
    assert "save it as PNG" in open_images(tmp_path).skipped[0].reason


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "f4"])
def test_the_order_of_bytes_does_not_matter(tmp_path: Path, kind: str) -> None:
    for order in "<>":
        write(tmp_path / f"{order == '<'}.tif", tiff(ramp(0, 200, kind), photometric=0, order=order))
    images = open_images(tmp_path).images
    assert (images[0] == images[1]).all()
    assert images[0, 0, 0] > images[0, 0, -1]
