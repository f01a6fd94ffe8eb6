"""A network that gives one row a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.errors import UsageError
from luoxia.media.text.padded import padded
from luoxia.media.text.ragged import Ragged
from luoxia.nn.pooling import SentenceClassifier, SentenceEncoder
from luoxia.tasks.shared.token_model import TokenModel

TOKENS = 8192
"""Tokens in a batch, padding counted."""


Floats = NDArray[np.float32]


PoolingT = TypeVar("PoolingT", SentenceClassifier, SentenceEncoder)


class PooledModel(TokenModel[PoolingT]):
    """A network that gives one row a text."""

    @torch.inference_mode()
    def rows(self, texts: str | Sequence[str]) -> Floats:
        """What the network says of each text, float32 (n, width of its answer), whatever they are batched with.

        A text that is longer than the model's context loses its end. ``UsageError`` for an empty one.
        """
        listed = [texts] if isinstance(texts, str) else list(texts)
        for number, text in enumerate(listed, 1):
            if not text.strip():
                raise UsageError(f"text {number} is empty: give one that says something, or leave it out")
        context = self.network.encoder.config.context
        ragged = Ragged.of(self.tokenizer.encode_batch(listed))
        order = np.argsort(-ragged.lengths, kind="stable")  # like lengths together: less padding
        marks = len(self.tokenizer.prefix) + len(self.tokenizer.suffix)
        rows, start = [np.empty((0, self.network.columns), np.float32)], 0
        while start < len(order):
            longest = min(int(ragged.lengths[order[start]]) + marks, context)
            chosen = order[start : start + max(1, TOKENS // max(longest, 1))]
            ids, mask = (
                torch.from_numpy(side).to(self.device)
                for side in padded(ragged, chosen, self.tokenizer, context)
            )
            rows.append(self.network(ids, mask).float().cpu().numpy())
            start += len(chosen)
        values: Floats = np.concatenate(rows)[np.argsort(order)]
        return values
