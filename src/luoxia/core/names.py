"""Names that people and files give: paths with ``~``, entries of archives, bytes that are no text."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from pathlib import Path

from luoxia.core.errors import UsageError

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path that a person gave, with ``~`` and ``~user`` replaced unless something of that very name exists.

    Raises:
        UsageError: it is empty, which is not the folder we are in, or that user has no home.
    """
    if not os.fspath(path):
        raise UsageError("the path is empty: give a folder or a file")
    place = Path(path)
    if not str(place).startswith("~") or os.path.lexists(place):
        return place
    try:
        return place.expanduser()
    except RuntimeError as error:
        name = place.parts[0]
        raise UsageError(f"{path}: {name} has no home folder here; write the path in full") from error


def many(number: int, what: str) -> str:
    """How many of what there are: "1 file", "2,000 files"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def printable(name: str) -> str:
    """A name with control characters, and bytes that are no text, written as escapes such as ``\\udcc9``."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


def readable(said: object) -> str:
    """What a file from elsewhere says, cut short, for a sentence."""
    return printable(str(said)[:200])


def inner(name: str, *, drives: bool = True) -> tuple[str, bool]:
    """A name that a file or an archive gives, as a relative path with ``/``; and whether it pointed outside.

    What follows a NUL is cut off. A drive, a root and leading ``..`` are dropped, ``.`` and inner ``..`` resolved;
    backslashes separate folders, and what cannot be printed is escaped. "" where nothing is left. With ``drives=False``
    ``a:b`` is a name, as it may be on Linux.
    """
    slashed = name.partition("\0")[0].replace("\\", "/")
    outside = slashed.startswith("/")
    parts: list[str] = []
    for part in slashed.split("/"):
        while drives and not parts and _DRIVE.match(part):
            part, outside = part[2:], True
        if part == "..":
            outside = outside or not parts
            del parts[-1:]
        elif part not in ("", ".", "?"):
            parts.append(part)
    return "/".join(map(printable, parts)), outside


def same(name: str) -> str:
    """What two spellings of one name share: the Unicode normal form C."""
    return unicodedata.normalize("NFC", name)


def nearby(place: Path) -> str:
    """Suggest what else is in the folder where ``place`` is not, as the end of a sentence."""
    parent = place.parent
    if not parent.is_dir():
        return f": {parent} is not a folder either"
    try:
        names = [entry.name for entry in parent.iterdir()]
    except OSError:
        return ": check the path"
    close = difflib.get_close_matches(place.name, names, n=3, cutoff=0.5)
    found = " or ".join(str(parent / name) for name in close)
    return f": did you mean {found}?" if close else ": check the path"


def absolute(path: str) -> str:
    """The path, from wherever it is looked for later."""
    return str(Path(path).resolve())
