"""Trained models that understand text: a classifier, an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.data.text.padded import padded
from luoxia.data.text.ragged import Ragged
from luoxia.data.text.tokeniser import Tokeniser
from luoxia.errors import UsageError
from luoxia.generation.token_model import TokenModel
from luoxia.networks.pooling import SentenceClassifier, SentenceEncoder

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
        context = self.network.shape.context
        ragged = Ragged.of(self.tokenizer.encode_batch(listed))
        order = np.argsort(-ragged.lengths, kind="stable")  # like lengths together: less padding
        marks = len(self.tokenizer.prefix) + len(self.tokenizer.suffix)
        found, start = [np.empty((0, self.network.columns), np.float32)], 0
        while start < len(order):
            longest = min(int(ragged.lengths[order[start]]) + marks, context)
            chosen = order[start : start + max(1, TOKENS // max(longest, 1))]
            ids, mask = (
                torch.from_numpy(side).to(self.device)
                for side in padded(ragged, chosen, self.tokenizer, context)
            )
            found.append(self.network(ids, mask).float().cpu().numpy())
            start += len(chosen)
        values: Floats = np.concatenate(found)[np.argsort(order)]
        return values


class TextClassifier(PooledModel[SentenceClassifier]):
    """Says of which of its ``classes`` a text is."""

    def __init__(
        self, network: SentenceClassifier, tokeniser: Tokeniser, *, classes: Sequence[str], **common: Any
    ) -> None:
        super().__init__(network, tokeniser, **common)
        self.classes = tuple(classes)

    def probabilities(self, texts: str | Sequence[str]) -> Floats:
        """Texts → their classes' probabilities, float32 (n, classes), in the order of ``classes``.

        A text that is longer than the model's context loses its end; an empty one is a ``UsageError``.
        """
        logits = self.rows(texts).astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
        normalised: Floats = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
        return normalised

    def classify(self, texts: str | Sequence[str]) -> list[tuple[str, float]]:
        """Texts → of each the likeliest class and its probability."""
        rows = self.probabilities(texts)
        return [(self.classes[row.argmax()], float(row.max())) for row in rows]


class TextEmbedder(PooledModel[SentenceEncoder]):
    """Places texts on the unit sphere, near what means the same."""

    def embed(self, texts: str | Sequence[str]) -> Floats:
        """Texts → embeddings of length 1, float32 (n, d).

        A text that is longer than the model's context loses its end; an empty one is a ``UsageError``.
        """
        return self.rows(texts)

    def similarity(self, a: str | Sequence[str], b: str | Sequence[str]) -> Floats:
        """n and m texts → the cosine of each with each, float32 (n, m)."""
        cosines: Floats = self.embed(a) @ self.embed(b).T
        return np.clip(cosines, -1, 1)
