"""Images to be worked on one by one, each at its own size: a file, a folder or a zip."""

from __future__ import annotations

import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import PurePosixPath

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, printable
from luoxia.core.skips import Skipped, Unusable
from luoxia.media.files import Files, FolderFiles, OneFile
from luoxia.media.image.convert import Conversion, Crop, Header, Pixels, convert
from luoxia.media.image.looks import look_at
from luoxia.media.image.ranges import Range, ranges_of
from luoxia.media.image.sources import ignore_decoder_warnings
from luoxia.media.zips import ZipFiles


class Originals:
    """Image files, in the order of their names; ``single`` where one file was named."""

    def __init__(self, files: Files, names: list[str], *, single: bool) -> None:
        self.single = single
        self.skipped = [*files.skipped, *files.unread]
        self.skipped += [
            Skipped(name, self._why(files.called(name))) for name in names if name in files.outside
        ]
        self._files = files
        self._names = [name for name in names if name not in files.outside]
        self._targets = targets(self._names)

    @staticmethod
    def _why(called: str) -> str:
        return f"called {printable(called.partition(chr(0))[0])}, which lies outside: what is made of it would too"

    def read(
        self, channels: int, size: tuple[int, int] | None = None, crop: Crop = "center"
    ) -> Iterator[tuple[str, str, str, Pixels | str]]:
        """(name, the PNG to be written for it, its SHA-256, its pixels (h, w, channels) or why it has none), each.

        The rule is that of data sets: ``luoxia.media.image.convert``. ``size``: of all; None: each image's own.
        """
        for skip in self.skipped:
            yield skip.name, "", "", skip.reason
        with closing(self._files):
            with warnings.catch_warnings():
                ignore_decoder_warnings()
                looks = {name: look_at(self._files, name) for name in self._names}
            headers = [look.header for look in looks.values()]
            ranges = ranges_of(header.depth for header in headers if isinstance(header, Header))
            for name, look in looks.items():
                with warnings.catch_warnings():
                    ignore_decoder_warnings()
                    pixels = self._pixels(name, look.header, channels, ranges, size, crop)
                    yield name, self._targets[name], look.digest, pixels

    def _pixels(
        self,
        name: str,
        header: Header | str,
        channels: int,
        ranges: tuple[Range, ...],
        size: tuple[int, int] | None,
        crop: Crop,
    ) -> Pixels | str:
        if isinstance(header, str):
            return header
        try:
            to = Conversion(*(size or (header.height, header.width)), channels, crop, ranges)
            return convert(self._files.read(name), name, to)
        except Unusable as reason:
            return str(reason)


def targets(names: list[str]) -> dict[str, str]:
    """The stem of each name and .png; the whole name and .png where two files of a folder share a stem."""
    stems = {name: str(PurePosixPath(name).with_suffix(".png")) for name in names}
    shared = Counter(stems.values())
    found = {name: stem if shared[stem] == 1 else f"{name}.png" for name, stem in stems.items()}
    return found if len(set(found.values())) == len(names) else {name: f"{name}.png" for name in names}


def open_originals(path: str) -> Originals:
    """The images at ``path``; ``UsageError`` where there is nothing, ``LuoxiaError`` where no file is an image."""
    place = expanded(path)
    if place.is_dir():
        files: Files = FolderFiles(place)
    elif place.is_file():
        files = ZipFiles(place) if zipfile.is_zipfile(place) else OneFile(place)
    else:
        raise UsageError(f"there is nothing at {path}: name an image, or a folder or zip of images")
    if not files.samples:
        raise LuoxiaError(f"{path} holds no image: name an image, or a folder or zip of images")
    return Originals(files, files.samples, single=files.kind == "file")
