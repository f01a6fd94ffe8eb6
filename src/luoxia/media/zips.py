"""The entries of a zip as files, whatever they are called and whatever they claim."""

import stat
import struct
import zipfile
import zlib
from collections import Counter
from functools import partial
from pathlib import Path

from luoxia.core.codepages import guessed
from luoxia.core.errors import LuoxiaError
from luoxia.core.names import inner
from luoxia.core.skips import Skipped, Unusable
from luoxia.media.files import MAX_FILE_BYTES, BaseFiles, Stamp, at_most, stamp_of
from luoxia.media.kinds import HEAD_BYTES, IMAGES, Kinds
from luoxia.media.ours import made_folder

MAX_ENTRIES = 1_000_000  # of one zip
MAX_RATIO = 200  # unpacked over packed: samples are compressed already, bombs reach 1,000
FREE_BYTES = 2**20  # a blank BMP may shrink more than MAX_RATIO; below this size nobody is hurt


class ZipFiles(BaseFiles):
    """The entries of a zip, read in memory, never unpacked to the disk, never trusted about their size or name."""

    kind = "zip"

    def __init__(self, path: Path, kinds: Kinds = IMAGES):
        """List the zip at ``path``.

        Raises:
            LuoxiaError: it is damaged, or has more than ``MAX_ENTRIES`` entries.
        """
        super().__init__(path, kinds)
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise LuoxiaError(f"{path} cannot be opened as a zip ({error}): pack it again") from error
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(infos) > MAX_ENTRIES:
            self.close()
            raise LuoxiaError(f"{path} has {len(infos):,} entries, more than {MAX_ENTRIES:,}: split it")
        self._entries = _by_name(infos)
        self._stamp = stamp_of(path)
        names = self._names()
        folders: dict[str, dict[str, str]] = {}  # folder: name of a file: what the archive calls it
        for called, (name, _) in names.items():
            folder, _, last = name.rpartition("/")
            folders.setdefault(folder, {})[last] = called
        made = self._made(folders)
        for called, (name, outside) in names.items():
            if not any(name.startswith(folder) for folder in made):
                self._add(called, name, outside)
        self._sort()

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()

    def size(self, name: str) -> int:
        """Return the bytes that an entry states, at most ``MAX_FILE_BYTES``."""
        return min(self._entries[self.called(name)].file_size, MAX_FILE_BYTES)

    def stamp(self, name: str) -> Stamp | None:
        """Return what changes when the archive does."""
        return self._stamp

    def read(self, name: str) -> bytes:
        """Return the content of an entry; raise Unusable where it is damaged, too large or a bomb."""
        info = self._entries[self.called(name)]
        fair = max(FREE_BYTES, MAX_RATIO * info.compress_size)
        content = self._unpacked(info, min(fair, MAX_FILE_BYTES) + 1)
        if len(content) > fair:
            raise Unusable(f"unpacks to more than {MAX_RATIO} times its packed size")
        return at_most(content, MAX_FILE_BYTES)

    def _unpacked(self, info: zipfile.ZipInfo, most: int) -> bytes:
        if info.flag_bits & 1:
            raise Unusable("encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unusable("packed with another method than deflate")  # which might unpack without bound
        if stat.S_ISLNK(info.external_attr >> 16):
            raise Unusable("a link, which an archive cannot follow")
        try:
            with self._zip.open(info) as file:
                return file.read(most)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
            raise Unusable(f"damaged in the zip: {error}") from error

    def _head(self, called: str) -> bytes:
        return self._unpacked(self._entries[called], HEAD_BYTES)

    def _names(self) -> dict[str, tuple[str, bool]]:
        """What the archive calls an entry → its name, and whether that pointed outside."""
        texts, unmarked = {}, {}
        for called, info in self._entries.items():
            text, raw = _text_of(info)
            texts[called] = text
            if raw is not None and not raw.isascii():
                unmarked[called] = raw
        if unmarked:
            page = guessed(list(unmarked.values()), "cp437")
            texts |= {called: raw.decode(page) for called, raw in unmarked.items()}
            self.notes.append(
                f"{len(unmarked):,} names in the zip do not say their code page: read as {page}"
            )
        return {called: inner(text) for called, text in texts.items()}

    def _made(self, folders: dict[str, dict[str, str]]) -> list[str]:
        """The folders, each with its ``/``, that hold what Luoxia made."""
        made = []
        for folder, names in folders.items():
            if folder and (reason := made_folder(names, partial(self._record, names))):
                made.append(f"{folder}/")
                self.unread.append(Skipped(folder, reason))
        return made

    def _record(self, names: dict[str, str], name: str) -> bytes | None:
        try:
            return self._unpacked(self._entries[names[name]], FREE_BYTES)
        except Unusable:
            return None


def _by_name(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The entries by what the archive calls them; further ones of a name with its number after a NUL."""
    entries: dict[str, zipfile.ZipInfo] = {}
    count: Counter[str] = Counter()
    for info in infos:
        name = info.filename  # which ends before a NUL
        count[name] += 1
        entries[name if count[name] == 1 else f"{name}\0{count[name]:07d}"] = info
    return entries


def _text_of(info: zipfile.ZipInfo) -> tuple[str, bytes | None]:
    """An entry's name; and its bytes where neither the flag for UTF-8 nor Info-ZIP's field says what they mean."""
    name = info.orig_filename
    if info.flag_bits & 0x800:
        return name, None
    raw = name.encode("cp437")
    at = 0
    while at + 4 <= len(info.extra):
        kind, size = struct.unpack_from("<HH", info.extra, at)
        field = info.extra[at + 4 : at + 4 + size]
        if kind == 0x7075 and field[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
            return field[5:].decode("utf-8", "backslashreplace"), None
        at += 4 + size
    return name, raw
