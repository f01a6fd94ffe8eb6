"""MP4: the label is the metadata key ``luoxia``; before 0.2 it was the comment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, MissingExtraError
from luoxia.core.files import staged, to_json
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import KEY, MAX_BYTES, unpacked
from luoxia.formats.sealed import blank, is_sealed, seal
from luoxia.provenance.label import Label

is_intact = is_sealed
CODECS = ("libx264", "mpeg4")
QUALITY = {"libx264": {"crf": "18", "preset": "medium"}, "mpeg4": {"qscale": "3"}}


def write(frames: Iterable[NDArray[np.uint8]], label: Label, path: Path, fps: float = 24.0) -> Path:
    """Write frames (h, w, 1 to 4) as H.264 (MPEG-4 where PyAV has no encoder of it), one after the other as they come.

    Transparent frames are laid over white. The sides become even, as the format wants, by repeating the last row or
    column. ``MissingExtraError`` without PyAV.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("out=FILE.mp4", "video") from error
    codec = next((name for name in CODECS if name in av.codecs_available), None)
    if codec is None:
        raise LuoxiaError("this PyAV can write no MP4: install av from PyPI, or choose out=FILE.gif")
    options = {"movflags": "use_metadata_tags"}  # without it the container drops keys of its own in silence
    with staged(path) as file, _sealed(file), av.open(file, "w", format="mp4", options=options) as container:
        container.metadata[KEY] = to_json(blank(label))
        stream: Any = container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1000), options=QUALITY[codec]
        )
        stream.pix_fmt = "yuv420p"
        for picture in map(_even, map(_rgb, frames)):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@contextlib.contextmanager
def _sealed(file: BinaryIO) -> Iterator[None]:
    """Seal a file once its container is complete."""
    yield
    seal(file)


def _rgb(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 1 to 4) → (h, w, 3)."""
    if frame.shape[2] in (2, 4):
        alpha = frame[..., -1:].astype(np.float32) / 255
        frame = np.rint(frame[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return frame.repeat(3, 2) if frame.shape[2] == 1 else frame


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = frame.shape
    padded: NDArray[np.uint8] = np.pad(frame, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    return padded


# ------------------------------------------------------------------ reading, which needs no PyAV


def read_label(path: Path) -> Label | None:
    """The label in a file; see ``luoxia.formats.registry.read_label``."""
    with open_regular(path) as file:
        end = file.seek(0, 2)
        for key, content in _metadata(file, end):
            if key in (KEY.encode(), b"\xa9cmt"):
                label = unpacked(content, ours=key != b"\xa9cmt")
                if label is not None:
                    return label
    return None


def _metadata(file: BinaryIO, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys of moov.udta.meta and their values: those that its ``keys`` box names, and the classic ones."""
    for meta, meta_end in _path(file, 0, end, (b"moov", b"udta", b"meta")):
        names: list[bytes] = []
        for kind, start, stop in _boxes(file, meta + 4, meta_end):  # after version and flags
            if kind == b"keys":
                file.seek(start + 8)
                names = list(_names(file.read(min(max(0, stop - start - 8), MAX_BYTES))))
            elif kind == b"ilst":
                for key, item, item_end in _boxes(file, start, stop):
                    number = int.from_bytes(key, "big")
                    name = names[number - 1] if 0 < number <= len(names) else key
                    file.seek(item + 16)  # after the head of the box ``data``, its type and its language
                    yield name, file.read(min(max(0, item_end - item - 16), MAX_BYTES + 1))


def _names(content: bytes) -> Iterator[bytes]:
    at = 0
    while at + 8 <= len(content) and (size := int.from_bytes(content[at : at + 4], "big")) >= 8:
        yield content[at + 8 : at + size]
        at += size


def _path(file: BinaryIO, start: int, end: int, names: tuple[bytes, ...]) -> Iterator[tuple[int, int]]:
    """(start, end) of the content of each box that lies in boxes of these names."""
    if not names:
        yield start, end
        return
    for kind, inner, inner_end in _boxes(file, start, end):
        if kind == names[0]:
            yield from _path(file, inner, inner_end, names[1:])


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start and end of its content) of each whole box; the last may reach to the end."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        size, content = int.from_bytes(head[:4], "big"), start + 8
        if size == 1:  # a size of eight bytes
            size, content = int.from_bytes(head[8:], "big"), start + 16
        stop = end if size == 0 else start + size
        if stop > end or stop < content:
            return
        yield head[4:8], content, stop
        start = stop
