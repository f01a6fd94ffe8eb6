"""Images on a page: as data URIs, small enough that a report stays one light file."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from luoxia.core.html import Html, escape
from luoxia.core.regular import bytes_of
from luoxia.runs.report_sections import empty
from luoxia.runs.report_source import RunRecord, spaced

LABEL = 'AI-generated images <span lang="zh">(人工智能生成)</span>'
_STRIP = 24  # files in the strip over time
_MOST_PIXELS = 64_000_000  # checked in the header, before anything is decoded


@dataclass(frozen=True)
class Picture:
    """An image inside the page."""

    source: str  # a data URI
    width: int
    height: int

    def html(self, alt: str, identity: str = "") -> Html:
        """Its element, with sharp pixels where it is small."""
        crisp = ' class="crisp"' if self.width < 480 else ""
        name = f' id="{identity}"' if identity else ""
        return Html(
            f'<img{name}{crisp} src="{self.source}" width="{self.width}" height="{self.height}" '
            f'alt="{escape(alt)}">'
        )


def embed(path: Path, side: int, allowance: int) -> Picture | None:
    """The PNG at ``path``, within ``side`` × ``side`` pixels and ``allowance`` bytes; None if unreadable.

    A file that is small enough already is kept byte for byte, with the labels it carries.
    """
    try:
        raw = bytes_of(path)
        with Image.open(io.BytesIO(raw), formats=["PNG"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            image.load()
            if len(raw) <= allowance and max(image.size) <= side:
                return _picture("png", raw, image.size)
            return _shrink(image.convert("L" if image.mode in ("1", "L") else "RGB"), side, allowance)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def viewer(record: RunRecord, fixed: str) -> str:
    """The newest grid, large, and the same over time beside it; ``fixed`` says what stays the same."""
    samples = [(sample, record.step_of(sample._asdict())) for sample in record.samples]
    newest = next(
        ((step, large) for one, step in reversed(samples) if (large := embed(one.file, 1024, 300_000))), None
    )
    if newest is None:
        return empty("No sample grid yet. The first one comes after <code>sample_every</code> steps.")
    step, large = newest
    strip = [
        (one.step, step, small)
        for one, step in spaced(samples, _STRIP)
        if (small := embed(one.file, 560, 54_000))
    ]
    shown = escape(step.removeprefix("step "))
    caption = f'Step <output id="shown">{shown}</output> · {LABEL}'
    image = large.html(f"Grid of images generated at {step}", "grid")
    figure = f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    return f'<div class="viewer">{figure}{_strip(strip, len(samples), fixed)}</div>'


def _strip(strip: list[tuple[int, str, Picture]], total: int, fixed: str) -> str:
    if len(strip) < 2:
        return ""
    last = len(strip) - 1
    thumbs = "".join(
        f'<li><button type="button" data-step="{escape(title.removeprefix("step "))}"'
        f"{' aria-current=true' if i == last else ''}>"
        f"{picture.html(f'Samples at {title}')}<span>{step:,}</span></button></li>"
        for i, (step, title, picture) in enumerate(strip)
    )
    some = f" {len(strip)} of {total:,} grids, evenly spaced." if total > len(strip) else ""
    return (
        f'<div class="strip"><h3>Over time</h3><p class="quiet">{fixed}{some}</p>'
        '<div class="scrub"><button type="button" id="play" aria-label="Play">Play</button>'
        f'<input type="range" id="scrub" max="{last}" value="{last}" aria-label="Step of the samples">'
        f'</div><ol class="thumbs">{thumbs}</ol></div>'
    )


def _shrink(image: Image.Image, side: int, allowance: int) -> Picture:
    """Scale ``image`` down and compress it until it fits."""
    image.thumbnail((side, side), reducing_gap=2.0)
    while True:
        for quality in (88, 72):
            stream = io.BytesIO()
            image.save(stream, "JPEG", quality=quality)
            if stream.tell() <= allowance or max(image.size) < 64:
                return _picture("jpeg", stream.getvalue(), image.size)
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def _picture(kind: str, raw: bytes, size: tuple[int, int]) -> Picture:
    return Picture(f"data:image/{kind};base64,{b64encode(raw).decode('ascii')}", *size)
