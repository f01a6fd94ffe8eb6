"""Generated video leaves through here: frames as an MP4 that carries its parameters."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.errors import LuoxiaError, MissingExtraError
from luoxia.provenance.files import write_file
from luoxia.provenance.images import enlarge

SIDE = 256
"""Small frames are enlarged to about this: players smooth what is smaller."""
CODECS = ("libx264", "mpeg4")
QUALITY = {"libx264": {"crf": "18", "preset": "medium"}, "mpeg4": {"qscale": "3"}}


def write_mp4(path: Path, frames: NDArray[np.uint8], parameters: dict[str, Any], fps: float = 24.0) -> Path:
    """Write frames (n, h, w, 1 to 4) as H.264 (MPEG-4 where PyAV has no encoder of it), parameters in the comment.

    Transparent frames are laid over white. The sides become even, as the format wants, by repeating the last row or
    column. ``MissingExtraError`` without PyAV.
    """
    try:
        import av
    except ImportError:
        raise MissingExtraError("out=FILE.mp4", "video") from None
    pictures = _even(_rgb(enlarge(frames, SIDE)))
    codec = next((name for name in CODECS if name in av.codecs_available), None)
    if codec is None:
        raise LuoxiaError("this PyAV can write no MP4: install av from PyPI, or choose out=FILE.gif")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        container.metadata["comment"] = json.dumps(parameters, ensure_ascii=False)
        stream: Any = container.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1000), options=QUALITY[codec]
        )
        stream.height, stream.width, stream.pix_fmt = pictures.shape[1], pictures.shape[2], "yuv420p"
        for picture in pictures:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
            )
        container.mux(stream.encode())
    return write_file(path, buffer.getvalue())


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
