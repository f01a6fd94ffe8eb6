"""Chats, tokenised and memory-mapped: a row holds one, all of which is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.media.text.conditions import ConditionedDataset
from luoxia.media.text.ragged import Facts, Indices, RaggedWriter, cached, in_chunks
from luoxia.media.text.sources import TextSource
from luoxia.media.text.tokeniser import Tokeniser
from luoxia.media.text.tokens import IGNORED, Windows

END = 4
"""Among so many last tokens a template's own end of a chat stands."""


@dataclass(frozen=True)
class ChatDataset(ConditionedDataset):
    """Chats without conditions; ``n`` is ``len(dataset)``.

    They are not packed end to end as documents are: their turns end with the token that ends a text.
    """

    @classmethod
    def open(cls, source: TextSource, tokeniser: Tokeniser) -> ChatDataset:
        """Tokenise chats, once for the cache; raises as ``ConditionedDataset.open``."""
        if tokeniser.eos is None:
            raise UsageError("this tokeniser has no end-of-text token, so it cannot end a chat")
        known, _, (texts,) = cached("chats", source, [tokeniser], _build, ["texts"])
        return cls(*known, (), texts, (), tokeniser, tokeniser.eos)

    @cached_property
    def prefix_lengths(self) -> Indices:
        """Nothing is before a chat: zeros (n,)."""
        return np.zeros(len(self), np.int64)

    def rows(self, chosen: Indices, context: int, kept: NDArray[np.bool_] | None = None) -> Windows:
        """Chats, a row each of at most ``context`` inputs, padded on the right; longer ones are cut."""
        sizes = np.minimum(self.texts.lengths[chosen], context + 1)
        padding = self.eos if self.tokeniser.pad is None else self.tokeniser.pad
        tokens = np.full((len(chosen), max(2, sizes.max())), padding)
        self.texts.put(tokens, chosen, limit=sizes)
        stated = np.arange(1, tokens.shape[1]) < sizes[:, None]
        inputs = tokens[:, :-1]
        return Windows(inputs, np.where(stated, tokens[:, 1:], IGNORED), np.zeros(inputs.shape, np.int32))


def chat_ids(tokeniser: Tokeniser, text: str, templated: bool) -> list[int]:
    """A rendered chat in tokens; names of special tokens are tokens where a template wrote it."""
    return tokeniser.encode_marked(text) if templated else [*tokeniser.prefix, *tokeniser.encode(text)]


def _build(folder: Path, source: TextSource, tokeniser: Tokeniser) -> Facts:
    writer = RaggedWriter(folder, "texts", tokeniser.vocabulary)
    templated = source.chat is not None and source.chat.source is not None
    for documents in in_chunks(source.documents(), lambda document: len(document.text)):
        for document in documents:
            ids = chat_ids(tokeniser, document.text, templated)
            ended = tokeniser.eos in ids[-END:]
            writer.append(np.array(ids if ended else [*ids, tokeniser.eos], np.int64))
    writer.close()
    return {}
