"""Generated video leaves through here: frames as an MP4 that carries its parameters."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, MissingExtraError
from luoxia.core.files import staged, to_json
from luoxia.media.image.writer import Chunks, chunks, enlarge

SIDE = 256
"""Small frames are enlarged to about this: players smooth what is smaller."""
CODECS = ("libx264", "mpeg4")
QUALITY = {"libx264": {"crf": "18", "preset": "medium"}, "mpeg4": {"qscale": "3"}}


def write_mp4(path: Path, frames: Chunks, parameters: dict[str, Any], fps: float = 24.0) -> Path:
    """Write frames (n, h, w, 1 to 4) as H.264 (MPEG-4 where PyAV has no encoder of it), parameters in the comment.

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
    with staged(path) as file, av.open(file, "w", format="mp4") as container:
        container.metadata["comment"] = to_json(parameters)
        stream: Any = container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1000), options=QUALITY[codec]
        )
        stream.pix_fmt = "yuv420p"
        for picture in (picture for chunk in chunks(frames) for picture in _even(_rgb(enlarge(chunk, SIDE)))):
            if not stream.codec_context.is_open:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_comment(path: Path) -> str:
    """The comment of a video, "" without; ``OSError`` where it is none, ``MissingExtraError`` without PyAV."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("reading the label of a video", "video") from error
    with av.open(str(path)) as container:
        return container.metadata.get("comment", "")


def _rgb(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, h, w, 1 to 4) → (n, h, w, 3)."""
    if frames.shape[3] in (2, 4):
        alpha = frames[..., -1:].astype(np.float32) / 255
        frames = np.rint(frames[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return frames.repeat(3, 3) if frames.shape[3] == 1 else frames


def _even(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    odd = [(0, side % 2) for side in frames.shape[1:3]]
    padded: NDArray[np.uint8] = np.pad(frames, [(0, 0), *odd, (0, 0)], mode="edge")
    return padded
