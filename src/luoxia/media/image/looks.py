"""What one look at an image tells."""

from __future__ import annotations

import hashlib
from typing import Any

import PIL

from luoxia.core.parallel import MEMORY
from luoxia.core.skips import Unusable
from luoxia.media.files import Files
from luoxia.media.image.convert import Header, read_header
from luoxia.media.image.ranges import Depth
from luoxia.media.looks import UNREADABLE, Look, Looking
from luoxia.media.ours import made_image

UNPACKED = 4
"""Bytes that one byte of a file may need while its header is read: images of 16 bits are decoded for it."""


def look_at(files: Files, name: str) -> Look[Header]:
    """Read one image."""
    with MEMORY.hold(UNPACKED * files.size(name)):
        try:
            content = files.read(name)
        except Unusable as reason:
            return Look(UNREADABLE, str(reason))
        digest, made = hashlib.sha256(content).hexdigest(), made_image(content)
        try:
            return Look(digest, read_header(content), made)
        except Unusable as reason:
            return Look(digest, str(reason), made)


def _header(kept: Any) -> Header:
    height, width, mode, gray, depth = kept
    return Header(height, width, mode, gray, None if depth is None else Depth(*depth))


LOOKS = Looking("looks.json", f"1 {PIL.__version__}", look_at, _header)
