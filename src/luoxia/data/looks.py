"""One look at each file: its digest, its header, and whether Luoxia made it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from luoxia.data.convert import Header, Unusable, read_header
from luoxia.data.files import Files
from luoxia.data.ours import made_image
from luoxia.data.parallel import in_order

CHUNK = 32


@dataclass(frozen=True)
class Look:
    """What one look tells; ``header`` is a reason where there is none."""

    digest: str
    header: Header | str
    made: str | None = None  # why it is no data, where Luoxia made it


def look_at_all(files: Files) -> dict[str, Look]:
    """Read every image once."""
    # Threads hide the latency of a folder's many files; the entries of a zip share one file and one lock.
    workers = 1 if files.kind == "zip" else None

    def look(indices: Sequence[int]) -> list[Look]:
        return [look_at(files, files.images[index]) for index in indices]

    runs = in_order(look, len(files.images), CHUNK, workers)
    return dict(zip(files.images, (found for run in runs for found in run), strict=True))


def look_at(files: Files, name: str) -> Look:
    """Read one image."""
    try:
        content = files.read(name)
    except Unusable as reason:
        return Look("unreadable", str(reason))
    digest, made = hashlib.sha256(content).hexdigest(), made_image(content)
    try:
        return Look(digest, read_header(content), made)
    except Unusable as reason:
        return Look(digest, str(reason), made)
