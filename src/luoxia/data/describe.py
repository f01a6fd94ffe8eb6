"""What a source holds, told without decoding it."""

import os
import warnings
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from luoxia.data.convert import Header
from luoxia.data.files import Skipped
from luoxia.data.images import cached, class_names, fingerprint_of, plan
from luoxia.data.plan import Request, Size
from luoxia.data.sources import Source, Survey, ignore_decoder_warnings, open_source

MOST_COMMON = 10


@dataclass(frozen=True)
class Description:
    """What ``luoxia data PATH`` shows.

    ``count``, ``classes`` and ``skipped`` are final once the images have been decoded (``cached``); before
    that, they rest on the headers, and a file with a good header but damaged pixels still counts.
    """

    source: str
    kind: str  # "folder", "zip", "npz", "idx" or "digits"
    layout: str  # "images", "class folders", "metadata.csv" or "arrays"
    count: int
    sizes: dict[str, int]  # "HEIGHTxWIDTH": images, the most common first, at most ten
    other_sizes: int  # images of further sizes
    modes: dict[str, int]  # Pillow's name of the pixel format: images
    classes: dict[str, int]  # name: images; {} when unlabelled
    texts: int  # images with a text
    size: str  # "HEIGHTxWIDTH" that they are read as
    channels: int
    crop: str
    skipped: list[Skipped]
    ignored: int  # files that are not images
    other_files: dict[str, int]  # their endings: files
    notes: list[str]  # what a person should know of how they are read
    fingerprint: str
    cached: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def describe(
    path: str | os.PathLike[str] | None = None,
    size: Size | None = None,
    crop: str = "center",
    channels: int | None = None,
) -> Description:
    """Describe the images at ``path``, and how ``open_images`` with the same arguments reads them.

    Raises:
        UsageError, LuoxiaError: as ``open_images``.
    """
    request = Request.check(size, crop, channels)
    with warnings.catch_warnings():
        ignore_decoder_warnings()
        with closing(open_source(path)) as source:
            return _described(source, source.survey(), request)


def _described(source: Source, survey: Survey, request: Request) -> Description:
    to = plan(source, survey, request)
    known = cached(source, survey, to)
    pairs = list(zip(source.items, survey.headers, strict=True))
    bad = [Skipped(item.name, header) for item, header in pairs if isinstance(header, str)]
    skipped = (
        known.skipped
        if known
        else sorted([*source.skipped, *source.unread, *bad], key=lambda skip: skip.name)
    )
    gone = {skip.name for skip in skipped if skip not in source.skipped}
    items = [item for item in source.items if item.name not in gone]
    headers = [header for _, header in pairs if isinstance(header, Header)]
    sizes = Counter(f"{header.height}x{header.width}" for header in headers)
    labels = Counter(item.label for item in items)
    common = dict(sizes.most_common(MOST_COMMON))
    return Description(
        source=source.title,
        kind=source.kind,
        layout=source.layout,
        count=len(items),
        sizes=common,
        other_sizes=len(headers) - sum(common.values()),
        modes=dict(Counter(header.mode for header in headers).most_common()),
        classes={name: labels[name] for name in class_names(list(labels))},
        texts=sum(bool(item.text) for item in items),
        size=f"{to.height}x{to.width}",
        channels=to.channels,
        crop=to.crop,
        skipped=skipped,
        ignored=source.others.total(),
        other_files=dict(source.others.most_common()),
        notes=source.notes,
        fingerprint=fingerprint_of(survey, to),
        cached=known is not None,
    )
