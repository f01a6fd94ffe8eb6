"""Training sentence embeddings: held-out texts, and whether each finds the one that means the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from luoxia.core.files import write_file
from luoxia.core.order import spread
from luoxia.media.text.counted import CountedPairs
from luoxia.metrics.similarity import measure_retrieval
from luoxia.tasks.language_modeling.scores import TextMeasurement
from luoxia.tasks.menu import EmbedText
from luoxia.tasks.shared.pairs import PairSession
from luoxia.tasks.shared.token_model import TokenModel
from luoxia.tasks.text_embedding.model import TextEmbedder
from luoxia.tasks.text_embedding.objective import TextPairs
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Rng

SAMPLES = 8
"""Texts in a sample: always the same, of those held out."""


class EmbeddingSession(PairSession):
    """The training of a text embedder."""

    exported: ClassVar[str] = "text embedder"
    network: ClassVar[str] = "encoder"
    model: ClassVar[type[TokenModel[Any]]] = TextEmbedder
    unit: ClassVar[str] = "pairs"
    quick: ClassVar[int] = 1000
    batching: ClassVar[type[Any]] = CountedPairs
    examples: ClassVar[type[Any]] = TextPairs
    needs: ClassVar[str] = "data=FILE against=FILE_OF_THE_SAME_MEANING, or data=PAIRS.tsv"
    told: ClassVar[tuple[str, str, str]] = (
        "Sentence embeddings",
        '.similarity("a text", "another")',
        "It knows likeness of the kind that its training pairs have, and no other.",
    )
    recipe: EmbedText

    def observe(self, rng: Rng) -> tuple[TextPairs, TextPairs | None]:
        """As many pairs of either side, for the more there are the harder each is; the held-out ones stay the same."""
        heldout = spread(self.heldout_indices, self.recipe.batch)
        size = len(heldout) if len(heldout) > 1 else self.recipe.batch
        rows = rng.integers(0, len(self.train_indices), size).cpu().numpy()
        return self.gather(self.train_indices[rows]), self.gather(heldout) if len(heldout) > 1 else None

    # ------------------------------------------------------------------ samples and scores

    def sample(self, step: int) -> None:
        """Some held-out texts, the nearest answer to each among all held out, and its own."""
        chosen = self.heldout_indices if len(self.heldout_indices) else spread(self.train_indices, self.quick)
        first, second = self.dataset.texts(chosen)
        asked = spread(np.arange(len(chosen)), SAMPLES)
        cosines = self.generator().similarity([first[i] for i in asked], second)
        rows = []
        for row, own in zip(cosines, asked, strict=True):
            rank = 1 + int((row > row[own]).sum())
            rows.append(
                f"{first[own]}\n→ {row.max():.2f} {second[row.argmax()]}\n= {row[own]:.2f} {second[own]} (rank {rank})"
            )
        write_file(self.run.path / "samples" / f"step_{step:06d}.txt", "\n\n".join(rows) + "\n")

    @staticmethod
    def examine(
        model: TextEmbedder, questions: Sequence[str], answers: Sequence[str], **asked: Any
    ) -> TextMeasurement:
        """Retrieval of each answer among all of them."""
        first, second = model.embed(questions), model.embed(answers)
        return TextMeasurement(measure_retrieval(first, second, data=asked["name"], seed=asked["seed"]))

    @staticmethod
    def watched(measurement: TextMeasurement) -> QuickScore:
        """The doctor watches what MRR misses to 1; within its interval it may be chance."""
        mrr = measurement["MRR"]
        noise = ((mrr.high or mrr.value) - (mrr.low or mrr.value)) / 2
        records = [score.as_dict() for score in measurement.scores]
        return QuickScore(records, 1 - mrr.value, noise, {}, "MRR missing to 1")

    def describe_data(self) -> dict[str, Any]:
        """The pairs, for run.json."""
        return super().describe_data() | {"task": "similarity"}
