"""A trained model that embeds texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luoxia.nn.pooling import SentenceEncoder
from luoxia.tasks.shared.pooled_model import Floats, PooledModel


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
