"""GIF: the label is the comment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin

from luoxia.core.files import staged
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import KEY, MAX_BYTES, unpacked
from luoxia.formats.png import to_pillow
from luoxia.formats.sealed import blank, is_sealed, seal
from luoxia.provenance.label import Label

is_intact = is_sealed


def write(frames: Iterable[NDArray[np.uint8]], label: Label, path: Path, milliseconds: int = 60) -> Path:
    """Write frames (h, w, 1 to 4) as a looping animation, one after the other as they come."""
    comment = json.dumps({KEY: blank(label)}).encode()  # ASCII, as the format wants it
    info = {"comment": comment, "loop": 0, "duration": milliseconds}
    with staged(path) as file:
        for number, frame in enumerate(frames):
            image = to_pillow(frame).convert("P" if frame.shape[-1] > 1 else "L")
            header, _ = GifImagePlugin.getheader(image, info=dict(info))  # shortens the palette, too
            data = GifImagePlugin.getdata(image, duration=milliseconds, include_color_table=number > 0)
            file.writelines([*(header if number == 0 else []), *data])
        file.write(b";")
        seal(file)  # the digits lie in the first block of the comment, with no length between them
    return path


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file:
        return carried(file)


def carried(file: BinaryIO) -> Label | None:
    """The label in an open GIF."""
    for comment in _comments(file):
        if (label := unpacked(comment)) is not None:
            return label
    return None


def _comments(file: BinaryIO) -> Iterator[bytes]:
    """The comments before the first image."""
    head = file.read(13)
    if len(head) < 13 or not head.startswith(b"GIF8"):
        return
    if head[10] & 0x80:  # a table of colors for all images
        file.seek(3 << ((head[10] & 7) + 1), 1)
    while file.read(1) == b"!":
        kind, content = file.read(1), b"".join(_blocks(file))
        if kind == b"\xfe":
            yield content


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Blocks of at most 255 bytes, each with its length before it, up to an empty one."""
    total = 0
    while total <= MAX_BYTES and (size := file.read(1)) not in (b"", b"\0"):
        block = file.read(size[0])
        total += len(block)
        yield block
