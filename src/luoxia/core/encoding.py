"""Which encoding a text has, and whether it is a text at all."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from luoxia.core.errors import LANGUAGE, MissingExtraError
from luoxia.core.skips import Unusable

HEAD_BYTES = 4096
SAMPLE_BYTES = 2**16  # of lines that are not UTF-8, for the guess
MAX_CONTROLS = 0.02  # share of control characters in a text; random bytes have 0.1
LONE_AMONG = 100  # lines of ASCII: one line beside so many tells no encoding
MIN_PRINTABLE = 0.97  # of UTF-16 without a mark

MARKS = {  # the longer first: UTF-32's little mark begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
BINARIES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a zip, as spreadsheets and documents are within (save those as CSV or as text)",
    b"\xd0\xcf\x11\xe0": "a spreadsheet or document of an old Office (save it as CSV or as text)",
    b"\x1f\x8b": "gzip without the ending .gz",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x7fELF": "a program",
    b"OggS": "Ogg audio",
    b"RIFF": "RIFF audio or video",
    b"fLaC": "FLAC audio",
    b"SQLite format 3": "an SQLite database",
}
GUESSES = (  # where the guess is open, the first is taken; each holds the smaller sets of its language
    "cp1252",
    "gb18030",
    "big5",
    "shift_jis",
    "euc_jp",
    "cp949",
    "cp1250",
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "iso8859_2",
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\v\b\x1a\x1b")) + b"\x7f"


@dataclass(frozen=True)
class Encoding:
    """How to turn bytes into text: after ``mark`` bytes of a byte order mark, by the codec ``name``."""

    name: str
    mark: int = 0
    returns: bool = False  # carriage returns alone end the lines, as on old Macs

    @property
    def wide(self) -> bool:
        """Whether a newline takes more than one byte."""
        return self.name.startswith(("utf-16", "utf-32"))


@dataclass
class Inspection:
    """What one pass over all bytes tells: their digest, the ends of lines, and the encoding's evidence."""

    head: bytes = b""
    ascii: int = 0  # lines of ASCII alone
    valid: int = 0  # other lines that are UTF-8
    invalid: int = 0
    newlines: int = 0
    returns: int = 0  # carriage returns without a newline after them
    sample: bytearray = field(default_factory=bytearray)
    digest: str = ""

    def encoding(self) -> Encoding:
        """Decide the encoding.

        UTF-8 where it fits most of the lines that are not ASCII (the others are then bad lines), else a guess
        by charset-normalizer from those lines; UTF-8 again where a few lines fit nothing.

        Raises:
            Unusable: the bytes are no text.
            MissingExtraError: charset-normalizer is needed and missing.
        """
        marked = by_mark(self.head) or _unmarked_wide(self.head)
        if marked is not None and marked.wide:
            start = self.head[marked.mark :].decode(marked.name, "replace")
            return replace(marked, returns="\r" in start and "\n" not in start)
        check_text(self.head)
        found = marked or Encoding(self._narrow())
        return replace(found, returns=self.returns > self.newlines)

    def _narrow(self) -> str:
        lone = self.invalid == 1 and self.ascii >= LONE_AMONG  # damage rather than another encoding
        if self.valid >= self.invalid or lone:
            return "utf-8"
        try:
            return _guess(bytes(self.sample))
        except Unusable:
            if self.ascii + self.valid < self.invalid:
                raise
            return "utf-8"


def inspect(blocks: Iterable[bytes]) -> Inspection:
    """Look at all bytes once. Each block must end with a line, where it holds the end of one."""
    result, everything = Inspection(), hashlib.sha256()
    for block in blocks:
        everything.update(block)
        if len(result.head) < HEAD_BYTES:
            result.head += block[: HEAD_BYTES - len(result.head)]
        newlines = block.count(b"\n")
        result.newlines += newlines
        result.returns += block.count(b"\r") - block.count(b"\r\n")
        if block.isascii():
            result.ascii += newlines
            continue
        try:
            block.decode("utf-8")
            result.valid += newlines + 1
        except UnicodeDecodeError:
            _count_lines(block, result)
    result.digest = everything.hexdigest()
    return result


def by_mark(head: bytes) -> Encoding | None:
    """The encoding that a byte order mark names, or None."""
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return Encoding(name, len(mark))
    return None


def check_text(head: bytes) -> None:
    """Raise Unusable where the first bytes are those of a binary file."""
    for magic, what in BINARIES.items():
        if head.startswith(magic):
            raise Unusable(f"is not text but {what}")
    if len(head) - len(head.translate(None, _CONTROLS)) > MAX_CONTROLS * len(head):
        what = "NUL bytes" if b"\0" in head else "many control characters"
        raise Unusable(f"is not text: it holds {what}, as binary files do")


def _count_lines(block: bytes, result: Inspection) -> None:
    for line in block.split(b"\n"):
        if line.isascii():
            result.ascii += 1
            continue
        try:
            line.decode("utf-8")
            result.valid += 1
        except UnicodeDecodeError:
            result.invalid += 1
            if len(result.sample) < SAMPLE_BYTES:
                result.sample += (line + b"\n")[: SAMPLE_BYTES - len(result.sample)]


def _unmarked_wide(head: bytes) -> Encoding | None:
    """UTF-16 without a mark: it holds NUL bytes, and reads as printable text with spaces or line ends."""
    if b"\0" not in head:
        return None
    best, most = None, 0
    for name in ("utf-16-le", "utf-16-be"):
        text = head[: len(head) // 2 * 2].decode(name, "replace").rstrip("\ufffd")
        common = sum(text.count(character) for character in " \n,.，。")
        good = sum(character.isprintable() or character in "\n\r\t\f" for character in text)
        if common > most and good >= MIN_PRINTABLE * len(text):
            best, most = Encoding(name), common
    return best


def _guess(sample: bytes) -> str:
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise MissingExtraError("text in another encoding than UTF-8 or UTF-16", LANGUAGE) from error
    for cut in range(4):  # the sample may end within a character
        matches = list(from_bytes(sample[: len(sample) - cut], cp_isolation=list(GUESSES)))
        if matches:
            return _first_of(matches).replace("_", "-")
    raise Unusable("is not text in any known encoding")


def _first_of(matches: Sequence[Any]) -> str:
    """Of the encodings that fit as well as the best, the first of GUESSES."""
    best = matches[0]
    alike = [
        match
        for match in matches
        if match.chaos <= best.chaos + 0.01 and match.coherence >= best.coherence - 0.01
    ]
    names: set[str] = {name for match in alike for name in match.could_be_from_charset}
    return min(names, key=_rank)


def _rank(name: str) -> int:
    return GUESSES.index(name) if name in GUESSES else len(GUESSES)
