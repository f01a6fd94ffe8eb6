"""Chats, tokenized and memory-mapped: a row holds one, all of which is learned."""

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
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.media.text.tokens import IGNORED, Windows

END = 4
"""Among so many last tokens a template's own end of a chat stands."""


@dataclass(frozen=True)
class ChatDataset(ConditionedDataset):
    """Chats without conditions; ``n`` is ``len(dataset)``.

    They are not packed end to end as documents are: their turns end with the token that ends a text.
    """

    @classmethod
    def open(cls, source: TextSource, tokenizer: Tokenizer) -> ChatDataset:
        """Tokenize chats, once for the cache; raises as ``ConditionedDataset.open``."""
        if tokenizer.eos is None:
            raise UsageError("this tokenizer has no end-of-text token, so it cannot end a chat")
        known, _, (texts,) = cached("chats", source, [tokenizer], _build, ["texts"])
        return cls(*known, (), texts, (), tokenizer, tokenizer.eos)

    @cached_property
    def prefix_lengths(self) -> Indices:
        """Nothing is before a chat: zeros (n,)."""
        return np.zeros(len(self), np.int64)

    def rows(self, chosen: Indices, context: int, kept: NDArray[np.bool_] | None = None) -> Windows:
        """Chats, a row each of at most ``context`` inputs, padded on the right; longer ones are cut."""
        sizes = np.minimum(self.texts.lengths[chosen], context + 1)
        padding = self.eos if self.tokenizer.pad is None else self.tokenizer.pad
        tokens = np.full((len(chosen), max(2, sizes.max())), padding)
        self.texts.put(tokens, chosen, limit=sizes)
        stated = np.arange(1, tokens.shape[1]) < sizes[:, None]
        inputs = tokens[:, :-1]
        return Windows(inputs, np.where(stated, tokens[:, 1:], IGNORED), np.zeros(inputs.shape, np.int32))


def chat_ids(tokenizer: Tokenizer, text: str, templated: bool) -> list[int]:
    """A rendered chat in tokens; names of special tokens are tokens where a template wrote it."""
    return tokenizer.encode_marked(text) if templated else [*tokenizer.prefix, *tokenizer.encode(text)]


def _build(folder: Path, source: TextSource, tokenizer: Tokenizer) -> Facts:
    writer = RaggedWriter(folder, "texts", tokenizer.vocabulary)
    templated = source.chat is not None and source.chat.source is not None
    for documents in in_chunks(source.documents(), lambda document: len(document.text)):
        for document in documents:
            ids = chat_ids(tokenizer, document.text, templated)
            ended = tokenizer.eos in ids[-END:]
            writer.append(np.array(ids if ended else [*ids, tokenizer.eos], np.int64))
    writer.close()
    return {}
