"""Texts of unequal lengths as one array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luoxia.media.text.ragged import Indices, Ragged
from luoxia.media.text.tokenizer import Tokenizer

Rows = tuple[Indices, NDArray[np.bool_]]


def padded(texts: Ragged, chosen: Indices, tokenizer: Tokenizer, longest: int) -> Rows:
    """The ``chosen`` texts between the tokenizer's own marks: ids (n, t) int64, padded on the right, and mask (n, t).

    Texts longer than ``longest``, marks included, lose their end. Every row has a token: <pad>, if there is no other.
    """
    before, after = np.array(tokenizer.prefix, np.int64), np.array(tokenizer.suffix, np.int64)
    room = longest - len(before) - len(after)
    ends = len(before) + np.minimum(texts.lengths[chosen], room)
    width = np.maximum(ends + len(after), 1)
    ids = np.full((len(chosen), width.max()), tokenizer.pad or 0)
    ids[:, : len(before)] = before
    texts.put(ids, chosen, at=len(before), limit=room)
    ids[np.arange(len(chosen))[:, None], ends[:, None] + np.arange(len(after))] = after
    return ids, np.arange(ids.shape[1]) < width[:, None]
