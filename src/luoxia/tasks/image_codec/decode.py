"""Decoding, as a verb: tokens into images, each under the name of what it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, readable
from luoxia.tasks.image_codec.settings import DecodeSettings
from luoxia.tasks.outputs import claimed
from luoxia.tasks.record import ModelRecord

TOGETHER = 64
"""Images of one size that are decoded together, at most."""
Row = tuple[str, Any]
"""The name of a file, and its tokens, a ``TokenGrid``."""


def decode(record: ModelRecord, what: str | Path, /, **settings: Any) -> dict[str, Any]:
    """Write the images that tokens stand for; returns ``out``, ``decoded`` and ``skipped``. See ``DecodeSettings``.

    ``what``: what ``encode`` wrote, an .npz, a .tok, or a folder of these.
    """
    chosen: DecodeSettings = DecodeSettings.from_settings(settings)
    what = str(what)
    if chosen.out is None:
        raise UsageError(f"decode needs out=FOLDER/: luoxia decode {record.path} {what} out=FOLDER/")
    from luoxia.formats import png
    from luoxia.formats.places import Named
    from luoxia.media.image.originals import targets
    from luoxia.provenance.label import Parent
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.tasks.loading import load_model

    place = expanded(what)
    if not place.exists():
        raise UsageError(f"there is nothing at {what}: name tokens.npz, a .tok or a folder of these")
    out = claimed(record, chosen.out, ("",), chosen.overwrite, place)
    codec = load_model(record, device=chosen.device)
    skipped: list[dict[str, str]] = []
    rows = _read(place, codec, skipped)
    if not rows:
        first = f", such as {skipped[0]['name']}: {skipped[0]['reason']}" if skipped else ""
        raise LuoxiaError(f"{what} holds no tokens that can be decoded{first}")
    named, wanted = Named(out), targets([name for name, _ in rows])
    places = {}
    for name, _ in rows:
        where = named.place(wanted[name])
        if isinstance(where, str):
            raise UsageError(f"{what} names {readable(name)}, and {where}: nothing was decoded")
        places[name] = where
    label = label_of(codec, record)
    made_of = parent(place) if place.is_file() else ()
    for index, (name, image) in enumerate(_decoded(codec, rows)):
        png.write(image, label.asked({}, index=index, parents=made_of or (Parent(name),)), places[name])
    return {"out": str(out), "decoded": len(rows), "skipped": skipped}


def _read(place: Path, codec: Any, skipped: list[dict[str, str]]) -> list[Row]:
    """All tokens, by name; damaged files of a folder go to ``skipped``."""
    from luoxia.formats import tokens

    if place.is_dir():
        rows = []
        for file in sorted(place.rglob("*.tok")):
            name = file.relative_to(place).as_posix()
            try:
                rows.append((name, _one(file, codec)))
            except LuoxiaError as error:
                skipped.append({"name": name, "reason": str(error)})
        return rows
    if place.suffix.lower() == ".tok":
        return [(place.name, _one(place, codec))]
    content = tokens.read(place)
    _check_codec(place, content.fingerprint, codec.fingerprint)
    if len(set(content.names)) != len(content.names):
        raise LuoxiaError(f"{place} names a file twice: encode the files again")
    for name, own in zip(content.names, content.grids, strict=True):
        _check_tokens(f"{place}, {readable(name)}", own, codec)
    return list(zip(content.names, content.grids, strict=True))


def _one(file: Path, codec: Any) -> Any:
    from luoxia.formats import tok

    own, _, fingerprint = tok.read(file)
    _check_codec(file, fingerprint, codec.fingerprint[: len(fingerprint)])
    _check_tokens(str(file), own, codec)
    return own


def _check_codec(file: Path, theirs: str, ours: str) -> None:
    if theirs != ours:
        raise UsageError(
            f"{file} holds tokens of another codec ({readable(theirs)[:16]}), or of this one before it was trained "
            f"further ({ours[:16]} now): decode them with the codec that encoded them"
        )


def _check_tokens(where: str, own: Any, codec: Any) -> None:
    """Those of this codec: of two axes and its codebooks, within its vocabulary, cut by less than a cell."""
    if own.tokens.ndim != 3 or own.tokens.shape[2] != codec.codebooks:
        raise LuoxiaError(
            f"{where}: the tokens have the shape {own.tokens.shape}, not (rows, columns, {codec.codebooks})"
        )
    largest = int(own.tokens.max())
    if largest >= codec.vocabulary:
        raise LuoxiaError(
            f"{where}: token {largest:,} is out of range, for the codec has {codec.vocabulary:,}"
        )
    if max(own.cut) >= codec.factor:
        raise LuoxiaError(f"{where}: more than a cell is cut off")
    pixels = own.tokens.shape[0] * own.tokens.shape[1] * codec.factor**2
    if pixels > LARGEST:
        raise LuoxiaError(f"{where}: an image of {pixels:,} pixels is larger than {LARGEST:,}")


LARGEST = 89_478_485
"""Pixels of an image at most: readers take a larger one for an attack."""


def _decoded(codec: Any, rows: list[Row]) -> Iterator[tuple[str, Any]]:
    """Each name with its image; neighbors of one size are decoded together."""
    import numpy as np
    import torch

    for (grid, cut), alike in groupby(rows, lambda row: (row[1].grid, row[1].cut)):
        size = tuple(n * codec.factor - off for n, off in zip(grid, cut, strict=True))
        while several := list(islice(alike, TOGETHER)):
            tokens = torch.from_numpy(np.stack([own.tokens for _, own in several]))
            yield from zip((name for name, _ in several), codec.decode(tokens, size), strict=True)
