"""Two sides of images of which no two belong together, brought to one size."""

from __future__ import annotations

import hashlib
import os
import warnings
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from luoxia.core.errors import UsageError
from luoxia.core.skips import Skipped
from luoxia.media.image.convert import Conversion, Crop, Header
from luoxia.media.image.images import ImageDataset, ImageSpec, Progress, decode, usable_headers
from luoxia.media.image.plan import MAX_SIDE, Request, spelled
from luoxia.media.image.sources import ignore_decoder_warnings, open_source

Side = tuple[int, int]
LOAD = 286 / 256
"""How much larger than the crops images are loaded (Zhu et al. 2017, public code)."""


@dataclass(frozen=True)
class UnpairedDataset:
    """Side A and side B. Their images are of the ``load`` size, and crops of ``spec``'s are cut out of them."""

    a: ImageDataset
    b: ImageDataset
    spec: ImageSpec
    """Of the crops, and so of what the networks see."""

    @property
    def fingerprint(self) -> str:
        """Hex digest of both sides' content and conversion, and of the crops' size."""
        key = [self.a.fingerprint, self.b.fingerprint, self.spec.height, self.spec.width]
        return hashlib.sha256(repr(key).encode()).hexdigest()[:32]

    @property
    def source(self) -> str:
        """What a person reads."""
        return f"{self.a.source} against {self.b.source}"

    @property
    def skipped(self) -> list[Skipped]:
        """The files of either side that could not be used."""
        return [
            replace(skip, name=f"{side}: {skip.name}")
            for side, images in (("A", self.a), ("B", self.b))
            for skip in images.skipped
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how either side was read."""
        return tuple(
            f"{side}: {note}" for side, images in (("A", self.a), ("B", self.b)) for note in images.notes
        )

    @property
    def load(self) -> Side:
        """Height and width of the images."""
        return self.a.spec.height, self.a.spec.width

    def __len__(self) -> int:
        """Images of the larger side: of an epoch."""
        return max(len(self.a), len(self.b))

    def centered(self, side: str) -> ImageDataset:
        """Side "a" or "b", of each image the middle crop: what is translated and measured outside training."""
        height, width = self.spec.height, self.spec.width
        top, left = (self.load[0] - height) // 2, (self.load[1] - width) // 2
        whole: ImageDataset = getattr(self, side)
        return replace(
            whole,
            images=whole.images[:, top : top + height, left : left + width],
            spec=replace(whole.spec, height=height, width=width),
            fingerprint=hashlib.sha256(f"{self.fingerprint} {side}".encode()).hexdigest()[:32],
        )


def open_unpaired(
    data: str | os.PathLike[str],
    against: str | os.PathLike[str],
    size: Side | None = None,
    crop: Crop = "center",
    channels: int | None = None,
    load: Side | None = None,
    *,
    progress: Progress | None = None,
) -> UnpairedDataset:
    """Open side A at ``data`` and side B at ``against``, each of any kind that ``open_images`` reads.

    Args:
        data: side A.
        against: side B.
        size: height and width of the crops. None: the smaller of what ``open_images`` would take for each side.
        crop: as in ``open_images``, for bringing images to ``load``.
        channels: of both. None: 1 if all images are gray, else 3.
        load: height and width of the images, of which crops are random parts. None: ``size`` where all images have it
            already, so that they keep their pixels; else 286/256 of it, as published.
        progress: as in ``open_images``, for each side.

    Raises:
        UsageError, LuoxiaError: as ``open_images``; and where ``load`` is smaller than ``size``.
    """
    request = Request.check(size, crop, channels)
    with warnings.catch_warnings(), ExitStack() as stack:
        ignore_decoder_warnings()
        sources = [stack.enter_context(closing(open_source(path))) for path in (data, against)]
        surveys = [source.survey() for source in sources]
        headers = [usable_headers(*both) for both in zip(sources, surveys, strict=True)]
        plans = [request.resolve(part) for part in headers]
        crops = min(((to.height, to.width) for to in plans), key=lambda side: side[0] * side[1])
        whole = Request.check(load, crop, None).size or _default_load(crops, headers)
        if whole[0] < crops[0] or whole[1] < crops[1]:
            raise UsageError(
                f"load_size={spelled(whole)} is smaller than size={spelled(crops)}: raise load_size= or lower size="
            )
        depth = max(to.channels for to in plans)
        a, b = (
            decode(source, survey, Conversion(*whole, depth, crop, own.ranges), progress)
            for source, survey, own in zip(sources, surveys, plans, strict=True)
        )
    return UnpairedDataset(a, b, ImageSpec(*crops, depth))


def _default_load(size: Side, headers: list[list[Header]]) -> Side:
    if all((header.height, header.width) == size for part in headers for header in part):
        return size
    height, width = (min(MAX_SIDE, round(side * LOAD)) for side in size)
    return height, width
