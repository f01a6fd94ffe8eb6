"""What a source holds, without decoding it."""

import os
import warnings
from collections import Counter
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from luoxia.core.skips import Skipped, Unusable
from luoxia.media.image.captions import captions_of
from luoxia.media.image.convert import Conversion, Header, Pixels, convert
from luoxia.media.image.images import cached, fingerprint_of, plan
from luoxia.media.image.plan import Request, Size
from luoxia.media.image.ranges import in_words
from luoxia.media.image.sources import Source, Survey, ignore_decoder_warnings, open_source
from luoxia.media.labels import class_names

MOST_COMMON = 10
SHOWN = 32
"""Images that are looked at for their grays."""
FEW = 26
"""Grays: a tenth of 256."""


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
    classes: dict[str, int]  # name: images; {} when unlabeled
    texts: int  # images with a text in the table of labels
    captions: int  # captions in all, of tables and of .txt files; an image may have several
    captioned: int  # images with a caption
    keywords: int  # images with keywords
    fields: dict[str, int]  # category, and other columns that group the images: different values
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
    captions = captions_of(source, [item.name for item in items])
    notes = [*source.notes, *in_words(to.ranges), *captions.notes]
    if _few_grays(known.images[:: 1 + len(known) // SHOWN] if known else _some(source, survey, to)):
        notes.append(
            "the images use fewer than a tenth of the grays: convert them where they should not be so flat"
        )
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
        captions=captions.count(),
        captioned=captions.captioned,
        keywords=sum(map(bool, captions.keywords)),
        fields={name: len({*values} - {""}) for name, values in captions.fields.items()},
        size=f"{to.height}x{to.width}",
        channels=to.channels,
        crop=to.crop,
        skipped=skipped,
        ignored=source.others.total(),
        other_files=dict(source.others.most_common()),
        notes=notes,
        fingerprint=fingerprint_of(survey, to),
        cached=known is not None,
    )


def _some(source: Source, survey: Survey, to: Conversion) -> Pixels:
    """At most ``SHOWN`` of the images, evenly spread, (n, height, width, channels)."""
    usable = [index for index, header in enumerate(survey.headers) if isinstance(header, Header)]
    found = []
    for index in usable[:: 1 + len(usable) // SHOWN]:
        with suppress(Unusable):
            found.append(convert(source.payload(index), source.items[index].name, to))
    return np.stack(found) if found else np.zeros((0, to.height, to.width, to.channels), np.uint8)


def _few_grays(images: Pixels) -> bool:
    """Whether nearly all values lie within a tenth of the range, and there are few of them."""
    colors = images[..., :-1] if images.shape[3] in (2, 4) else images
    counts = np.bincount(colors.reshape(-1), minlength=256)
    low, high = np.searchsorted(np.cumsum(counts), [0.01 * counts.sum(), 0.99 * counts.sum()])
    return bool(counts.sum() and (counts > 0).sum() < FEW and high - low < FEW)
