"""The tokens of many files in one NPZ.

``tokens`` (n, *grid, codebooks), of the smallest unsigned type, where all grids are equal; else (positions, codebooks),
one file after the other, with ``lengths`` (n,) and ``grids`` (n, axes). ``names`` (n,). ``cuts`` (n, axes): what is not
the file's of the last cell of each axis; left out where it is nothing. ``header``: JSON with the codec's
``fingerprint``, ``vocabulary`` and ``codebooks``, ``media`` (how the files were read), and the label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.core.names import readable
from luoxia.formats import npz
from luoxia.formats.tok import TokenGrid, smallest
from luoxia.provenance.label import Label

ARRAYS = ("tokens", "lengths", "grids", "names", "cuts")


@dataclass(frozen=True)
class TokenFile:
    """The tokens of files, by their names, and which codec they are of."""

    names: Sequence[str]
    grids: Sequence[TokenGrid]
    vocabulary: int
    fingerprint: str
    media: Mapping[str, Any] = field(default_factory=dict)


def write(content: TokenFile, label: Label, path: Path) -> Path:
    """Write the tokens of one file or more."""
    kind = smallest(content.vocabulary)
    shapes = [own.grid for own in content.grids]
    arrays: dict[str, NDArray[Any]] = {"names": np.array(content.names)}
    if len(set(shapes)) == 1:
        arrays["tokens"] = np.stack([own.tokens for own in content.grids]).astype(kind)
    else:
        books = content.grids[0].tokens.shape[-1]
        flat = [own.tokens.reshape(-1, books) for own in content.grids]
        arrays["tokens"] = np.concatenate(flat).astype(kind)
        arrays["lengths"] = np.array([len(tokens) for tokens in flat], np.int64)
        arrays["grids"] = np.array(shapes, np.int64)
    if any(any(own.cut) for own in content.grids):
        arrays["cuts"] = np.array([own.cut for own in content.grids], np.uint8)
    facts = {
        "fingerprint": content.fingerprint,
        "vocabulary": content.vocabulary,
        "codebooks": int(content.grids[0].tokens.shape[-1]),
        "media": dict(content.media),
    }
    return npz.write(arrays, label, path, facts)


def read(path: Path) -> TokenFile:
    """What ``write`` wrote.

    Raises:
        LuoxiaError: it is another file, or its parts do not fit each other.
    """
    arrays, facts = npz.read(path, ARRAYS)
    if "tokens" not in arrays or not isinstance(facts.get("fingerprint"), str):
        raise LuoxiaError(
            f"{path} holds no tokens of luoxia encode: it lacks the array tokens, or the header"
        )
    vocabulary = facts.get("vocabulary")
    if type(vocabulary) is not int or not 2 <= vocabulary <= 2**62:
        raise LuoxiaError(f"{path} is damaged: its vocabulary is {readable(vocabulary)}")
    try:
        tokens = _apart(arrays)
        cuts = arrays.get("cuts", np.zeros((len(tokens), tokens[0].ndim - 1), np.uint8) if tokens else None)
        names = arrays.get("names")
        if not tokens or names is None or names.dtype.kind != "U" or names.shape != (len(tokens),):
            raise ValueError("it must have one name for each grid of tokens, one or more")
        if cuts is None or cuts.dtype.kind != "u" or cuts.shape != (len(tokens), tokens[0].ndim - 1):
            raise ValueError("its cuts do not fit its tokens")
    except ValueError as error:
        raise LuoxiaError(f"{path} is damaged: {error}") from error
    media = facts.get("media")
    return TokenFile(
        [str(name) for name in names],
        [TokenGrid(own, tuple(map(int, cut))) for own, cut in zip(tokens, cuts, strict=True)],
        vocabulary,
        facts["fingerprint"],
        media if isinstance(media, dict) else {},
    )


def _apart(arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[np.int64]]:
    """The tokens of each file (*grid, codebooks); ``ValueError`` where lengths or grids do not fit."""
    tokens = arrays["tokens"]
    if tokens.dtype.kind != "u" or tokens.ndim < 2 or 0 in tokens.shape:
        raise ValueError("its tokens are no unsigned numbers on a grid")
    if tokens.dtype.itemsize == 8 and int(tokens.max()) >= 2**63:
        raise ValueError("its tokens are too large")
    whole = tokens.astype(np.int64)
    if "lengths" not in arrays:
        if whole.ndim < 3:
            raise ValueError("its tokens have no grid")
        return list(whole)
    lengths, grids = arrays["lengths"], arrays.get("grids")
    fits = grids is not None and grids.dtype.kind in "iu" and grids.ndim == 2 and lengths.dtype.kind in "iu"
    if not fits or grids is None or lengths.shape != grids.shape[:1] or whole.ndim != 2:
        raise ValueError("its lengths and grids do not fit its tokens")
    shapes = [tuple(map(int, row)) for row in grids]
    if any(min(shape) < 1 for shape in shapes) or [prod(shape) for shape in shapes] != lengths.tolist():
        raise ValueError("its lengths are not those of its grids")
    if int(lengths.sum()) != len(whole):
        raise ValueError("its lengths do not add up to its tokens")
    parts = np.split(whole, np.cumsum(lengths)[:-1])
    return [part.reshape(*shape, whole.shape[1]) for part, shape in zip(parts, shapes, strict=True)]
