"""The digest of a whole file, in the label that the file itself carries: the place of its digits counts as zeros."""

from __future__ import annotations

import hashlib
import mmap
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from luoxia.core.regular import open_regular
from luoxia.provenance.label import Label

BLANK, NAME = "0" * 64, b'"sha256": "'


def blank(label: Label) -> dict[str, Any]:
    """The label for a file that is yet to be written, with a blank digest, which comes first in the JSON."""
    values = replace(label, sha256=BLANK).as_dict()
    return {"sha256": values.pop("sha256"), **values}


def seal(file: BinaryIO) -> None:
    """Put the digest into an open file that is written but for it."""
    file.flush()
    place, digest = _digest(file, BLANK)
    file.seek(place)
    file.write(digest.encode())


def is_sealed(path: Path, label: Label) -> bool:
    """Whether every byte of a file is as it was written with this label."""
    with open_regular(path) as file:
        return _digest(file, label.sha256)[1] == label.sha256


def _digest(file: BinaryIO, written: str) -> tuple[int, str]:
    """(Where the digest is ``written``, SHA-256 of the file with zeros there); ``ValueError`` where it is not."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
        place = content.find(NAME + written.encode()) + len(NAME)
        if place < len(NAME):
            raise ValueError("the digest is not in the file")
        digest = hashlib.sha256(view[:place])
        digest.update(BLANK.encode())
        digest.update(view[place + len(BLANK) :])
        return place, digest.hexdigest()
