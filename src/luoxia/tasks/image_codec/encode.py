"""Encoding, as a verb: an image, or a folder or zip of them, into tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded
from luoxia.tasks.image_codec.settings import EncodeSettings
from luoxia.tasks.outputs import claimed
from luoxia.tasks.record import ModelRecord

TOGETHER = 64
"""Images of one size that are encoded together, at most."""


class Source(NamedTuple):
    """An image file: its name, that of the file made of it, its SHA-256 and its pixels (h, w, c)."""

    name: str
    target: str
    digest: str
    pixels: Any


def encode(record: ModelRecord, what: str | Path, /, **settings: Any) -> dict[str, Any]:
    """Write the tokens of images; returns ``out``, ``encoded`` and ``skipped``. See ``EncodeSettings``."""
    chosen: EncodeSettings = EncodeSettings.from_settings(settings)
    what = str(what)
    from luoxia.formats import tok, tokens
    from luoxia.formats.places import Named, form_of
    from luoxia.media.image.originals import open_originals
    from luoxia.provenance.label import Parent
    from luoxia.tasks.labeling import label_of
    from luoxia.tasks.loading import load_model

    if chosen.out is None:
        raise UsageError(f"encode needs out=: luoxia encode {record.path} {what} out=tokens.npz")
    originals = open_originals(what)
    out = claimed(record, chosen.out, (".npz", ""), chosen.overwrite, expanded(what))
    codec = load_model(record, device=chosen.device)
    size = codec.shape[:2] if chosen.size is None else None if chosen.size == "own" else chosen.size
    media = {"size": "own" if size is None else list(size), "crop": chosen.crop, "channels": codec.shape[2]}
    label = label_of(codec, record).asked({"size": chosen.size, "crop": chosen.crop} if chosen.size else {})
    named = Named(out) if form_of(out, chosen.out) == "" else None
    skipped: list[dict[str, str]] = []
    names: list[str] = []
    grids: list[Any] = []
    read = (Source(*one) for one in originals.read(codec.shape[2], size, chosen.crop))
    for source, own in _encoded(codec, _usable(read, skipped)):
        if named is not None:
            place = named.place(str(PurePosixPath(source.target).with_suffix(".tok")))
            if isinstance(place, str):
                skipped.append({"name": source.name, "reason": place})
                continue
            parents = [Parent(source.name, source.digest)]
            tok.write(
                own,
                codec.vocabulary,
                codec.fingerprint,
                label.asked({}, index=len(names), parents=parents),
                place,
            )
        else:
            grids.append(own)
        names.append(source.name)
    if not names:
        first = skipped[0]
        raise LuoxiaError(
            f"none of the images at {what} could be encoded, such as {first['name']}: {first['reason']}"
        )
    if named is None:
        content = tokens.TokenFile(names, grids, codec.vocabulary, codec.fingerprint, media)
        tokens.write(content, label, out)
    return {"out": str(out), "encoded": len(names), "skipped": skipped}


def _usable(sources: Iterable[Source], skipped: list[dict[str, str]]) -> Iterator[Source]:
    """Those with pixels; the others go to ``skipped``."""
    for source in sources:
        if isinstance(source.pixels, str):
            skipped.append({"name": source.name, "reason": source.pixels})
        else:
            yield source


def _encoded(codec: Any, sources: Iterable[Source]) -> Iterator[tuple[Source, Any]]:
    """Each image with its tokens, a ``TokenGrid``; neighbors of one size are encoded together."""
    import numpy as np

    from luoxia.formats.tok import TokenGrid

    for (height, width), alike in groupby(sources, lambda source: source.pixels.shape[:2]):
        grid = codec.grid(height, width)
        cut = tuple(n * codec.factor - side for n, side in zip(grid, (height, width), strict=True))
        while several := list(islice(alike, TOGETHER)):
            tokens = codec.encode(np.stack([source.pixels for source in several])).numpy()
            for source, own in zip(several, tokens, strict=True):
                yield source, TokenGrid(own, cut)
