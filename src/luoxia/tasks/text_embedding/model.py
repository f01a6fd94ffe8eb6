"""A trained model that embeds texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luoxia.nn.pooling import SentenceEncoder
from luoxia.tasks.shared.pooled_model import Floats, PooledModel


class TextEmbedder(PooledModel[SentenceEncoder]):
    """Places texts on the unit sphere, near texts of the same meaning.

    >>> import luoxia
    >>> from pathlib import Path
    >>> for file, word in (("a.txt", "day"), ("b.txt", "date")):
    ...     _ = Path(file).write_text("".join(f"{word} {i}\\n" for i in range(40)))
    >>> tiny = {"layers": 1, "heads": 1, "width": 8, "batch": 4, "steps": 2}
    >>> run = luoxia.train("embed-text", data="a.txt", against="b.txt", **tiny, quiet=True)
    >>> model = luoxia.load(run)
    >>> model.embed(["day 3", "day 4"]).shape, model.similarity("day 3", ["date 3", "date 4"]).shape
    ((2, 8), (1, 2))
    """

    def embed(self, texts: str | Sequence[str]) -> Floats:
        """Texts → embeddings of length 1, float32 (n, d).

        A text that is longer than the model's context loses its end; an empty one is a ``UsageError``.
        """
        return self.rows(texts)

    def similarity(self, a: str | Sequence[str], b: str | Sequence[str]) -> Floats:
        """The cosines of n texts with m texts, float32 (n, m)."""
        cosines: Floats = self.embed(a) @ self.embed(b).T
        return np.clip(cosines, -1, 1)
