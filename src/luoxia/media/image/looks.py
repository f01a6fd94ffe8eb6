"""One look at each file: its digest, its header, and whether Luoxia made it; remembered as long as it is untouched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import PIL

from luoxia.core.cache import cache_folder, mark
from luoxia.core.parallel import MEMORY, in_order
from luoxia.core.skips import Unusable
from luoxia.media.files import Files, Stamp
from luoxia.media.image.convert import Header, read_header
from luoxia.media.image.ranges import Depth
from luoxia.media.ours import made_image

CHUNK = 32
VERSION = f"1 {PIL.__version__}"  # raise it when a header or a reason changes
FRESH_NANOSECONDS = 2 * 10**9
"""A file that changed so shortly before it was looked at may change again within one tick of its clock."""
UNPACKED = 4
"""Bytes that one byte of a file may need while its header is read: images of 16 bits are decoded for it."""


@dataclass(frozen=True)
class Look:
    """What one look tells; ``header`` is a reason where there is none."""

    digest: str
    header: Header | str
    made: str | None = None  # why it is not data, where Luoxia made it


def look_at_all(files: Files) -> dict[str, Look]:
    """Look at every image: read it, unless that was done before and its size, times and place are the same."""
    entry = (
        cache_folder() / "looks" / hashlib.sha256(os.fsencode(os.path.realpath(files.path))).hexdigest()[:32]
    )
    stamps = {name: files.stamp(name) for name in files.images}
    looks = _remembered(entry, stamps, {name: files.called(name) for name in files.images})
    new = [name for name in files.images if name not in looks]
    now = time.time_ns()
    looks |= _read_all(files, new)
    if new:
        settled = {name: look for name, look in looks.items() if _is_settled(stamps[name], now)}
        _remember(entry, {files.called(name): (stamps[name], look) for name, look in settled.items()})
    return looks


def _read_all(files: Files, names: Sequence[str]) -> dict[str, Look]:
    # Threads hide the latency of a folder's many files; the entries of a zip share one file and one lock.
    workers = 1 if files.kind == "zip" else None

    def look(indices: Sequence[int]) -> list[Look]:
        return [look_at(files, names[index]) for index in indices]

    runs = in_order(look, len(names), CHUNK, workers)
    return dict(zip(names, (found for run in runs for found in run), strict=True))


def look_at(files: Files, name: str) -> Look:
    """Read one image."""
    with MEMORY.hold(UNPACKED * files.size(name)):
        try:
            content = files.read(name)
        except Unusable as reason:
            return Look("unreadable", str(reason))
        digest, made = hashlib.sha256(content).hexdigest(), made_image(content)
        try:
            return Look(digest, read_header(content), made)
        except Unusable as reason:
            return Look(digest, str(reason), made)


def _is_settled(stamp: Stamp | None, now: int) -> bool:
    return stamp is not None and now - max(stamp[1:3]) > FRESH_NANOSECONDS


def _remembered(entry: Path, stamps: dict[str, Stamp | None], called: dict[str, str]) -> dict[str, Look]:
    """What is known of the files that have not changed since; {} where nothing is, or it is damaged."""
    try:
        known = json.loads((entry / "looks.json").read_text("utf-8"))
        if known["version"] != VERSION:
            return {}
        files: dict[str, Any] = known["files"]
        return {
            name: _look(files[called[name]][1])
            for name, stamp in stamps.items()
            if stamp is not None and called[name] in files and files[called[name]][0] == list(stamp)
        }
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return {}


def _look(kept: Any) -> Look:
    digest, header, made = kept
    if not isinstance(header, str):
        height, width, mode, gray, depth = header
        header = Header(height, width, mode, gray, None if depth is None else Depth(*depth))
    return Look(digest, header, made)


def _remember(entry: Path, looks: dict[str, tuple[Stamp | None, Look]]) -> None:
    """Keep them for later; where that is not possible, files are read again."""
    kept = {
        called: [stamp, astuple(look)]
        for called, (stamp, look) in looks.items()
        if look.digest != "unreadable"
    }
    with contextlib.suppress(OSError):
        entry.mkdir(parents=True, exist_ok=True)
        mark(entry)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=entry, delete=False) as file:
            json.dump({"version": VERSION, "files": kept}, file)
        Path(file.name).replace(entry / "looks.json")
