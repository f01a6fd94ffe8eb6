"""A trained model that classifies texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from luoxia.media.text.tokenizer import Tokenizer
from luoxia.nn.pooling import SentenceClassifier
from luoxia.tasks.shared.pooled_model import Floats, PooledModel


class TextClassifier(PooledModel[SentenceClassifier]):
    """Assigns texts to its ``classes``.

    >>> import luoxia
    >>> from pathlib import Path
    >>> rows = "".join(f"day {i},{('bad', 'good')[i % 2]}\\n" for i in range(40))
    >>> _ = Path("days.csv").write_text("text,label\\n" + rows)
    >>> tiny = {"layers": 1, "heads": 1, "width": 8, "batch": 64, "steps": 2}
    >>> run = luoxia.train("classify-text", data="days.csv", label="label", **tiny, quiet=True)
    >>> model = luoxia.load(run)
    >>> model.classes, model.probabilities(["day 3", "day 4"]).shape
    (('bad', 'good'), (2, 2))
    """

    def __init__(
        self, network: SentenceClassifier, tokenizer: Tokenizer, *, classes: Sequence[str], **common: Any
    ) -> None:
        super().__init__(network, tokenizer, **common)
        self.classes = tuple(classes)

    def probabilities(self, texts: str | Sequence[str]) -> Floats:
        """Texts → their classes' probabilities, float32 (n, classes), in the order of ``classes``.

        A text that is longer than the model's context loses its end; an empty one is a ``UsageError``.
        """
        logits = self.rows(texts).astype(np.float64)
        shares = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
        normalized: Floats = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
        return normalized

    def classify(self, texts: str | Sequence[str]) -> list[tuple[str, float]]:
        """The likeliest class of each text, and its probability."""
        rows = self.probabilities(texts)
        return [(self.classes[row.argmax()], float(row.max())) for row in rows]
