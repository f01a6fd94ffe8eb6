"""Training sentence embeddings: held-out texts, and whether each finds the one that means the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from luoxia.core.files import write_file
from luoxia.core.order import spread
from luoxia.media.text.counted import CountedPairs
from luoxia.metrics.score import Measurement
from luoxia.metrics.similarity import measure_retrieval
from luoxia.tasks.shared.pairs import PairSupervision
from luoxia.tasks.shared.supervised import SupervisedStage
from luoxia.tasks.text_embedding.model import TextEmbedder
from luoxia.tasks.text_embedding.objective import TextPairs
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Rng

SAMPLES = 8
"""Texts in a sample: always the same, of those held out."""


class EmbeddingSupervision(PairSupervision):
    """Texts that mean the same, each looked for among all others."""

    def evaluate(
        self,
        model: TextEmbedder,
        inputs: Sequence[str],
        targets: Sequence[str],
        *,
        name: str,
        seed: int,
        quick: bool,
    ) -> Measurement:
        """Retrieval of each target among all of them."""
        first, second = model.embed(inputs), model.embed(targets)
        return Measurement(measure_retrieval(first, second, data=name, seed=seed))

    def watched(self, measurement: Measurement) -> QuickScore:
        """The doctor follows what MRR misses to 1; within its interval it may be chance."""
        mrr = measurement["MRR"]
        noise = ((mrr.high or mrr.value) - (mrr.low or mrr.value)) / 2
        records = [score.as_dict() for score in measurement.scores]
        return QuickScore(records, 1 - mrr.value, noise, {}, "MRR missing to 1")


SUPERVISION = EmbeddingSupervision()


class EmbeddingStage(SupervisedStage):
    """The training of a text embedder."""

    network: ClassVar[str] = "encoder"
    supervision = SUPERVISION
    quick: ClassVar[int] = 1000
    batching: ClassVar[type[Any]] = CountedPairs
    examples: ClassVar[type[Any]] = TextPairs
    card_text: ClassVar[tuple[str, str, str]] = (
        "Sentence embeddings",
        '.similarity("a text", "another")',
        "It knows likeness of the kind that its training pairs have, and no other.",
    )

    def observe(self, rng: Rng) -> tuple[TextPairs, TextPairs | None]:
        """As many pairs of either side, for the more there are the harder each is; the held-out ones stay the same."""
        heldout = spread(self.heldout_indices, self.recipe.batch)
        size = len(heldout) if len(heldout) > 1 else self.recipe.batch
        rows = rng.integers(0, len(self.train_indices), size).cpu().numpy()
        return self.gather(self.train_indices[rows]), self.gather(heldout) if len(heldout) > 1 else None

    # ------------------------------------------------------------------ samples and scores

    def preview(self, out: Path) -> None:
        """Some held-out texts, the nearest answer to each among all held out, and its own."""
        chosen = self.heldout_indices if len(self.heldout_indices) else spread(self.train_indices, self.quick)
        first, second = self.data.texts(chosen)
        queries = spread(np.arange(len(chosen)), SAMPLES)
        cosines = self.model().similarity([first[i] for i in queries], second)
        rows = []
        for row, own in zip(cosines, queries, strict=True):
            rank = 1 + int((row > row[own]).sum())
            rows.append(
                f"{first[own]}\n→ {row.max():.2f} {second[row.argmax()]}\n= {row[own]:.2f} {second[own]} (rank {rank})"
            )
        write_file(out.with_suffix(".txt"), "\n\n".join(rows) + "\n")

    def model(self) -> TextEmbedder:
        """The embedder of this moment."""
        return TextEmbedder(self.network_copy(), self.data.tokenizer, **self.common())

    def describe_data(self) -> dict[str, Any]:
        """The pairs, for run.json."""
        return super().describe_data() | {"task": "similarity", "against": self.recipe.against}
