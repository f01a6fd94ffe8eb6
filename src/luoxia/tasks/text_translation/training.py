"""Training on sentence pairs: translations of the same sentences, BLEU and chrF on pairs that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from luoxia.core.files import write_file
from luoxia.media.text.corpus import PairCorpus
from luoxia.media.text.pairs import PairBatches
from luoxia.metrics.translation import measure_translation
from luoxia.tasks.language_modeling.scores import TextMeasurement
from luoxia.tasks.menu import Translate
from luoxia.tasks.shared.pairs import PairSession
from luoxia.tasks.shared.token_model import TokenModel
from luoxia.tasks.text_translation.model import Translator
from luoxia.tasks.text_translation.objective import PairBatch
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Rng

SAMPLES = 8
"""Sentences in a sample: always the same, of those held out."""


class TranslationSession(PairSession):
    """The training of a translator."""

    exported: ClassVar[str] = "translator"
    network: ClassVar[str] = "translator"
    model: ClassVar[type[TokenModel[Any]]] = Translator
    unit: ClassVar[str] = "tokens"
    quick: ClassVar[int] = 64  # sentences translated, greedily, for a score between two steps
    batching: ClassVar[type[Any]] = PairBatches
    examples: ClassVar[type[Any]] = PairBatch
    needs: ClassVar[str] = "data=FILE.en against=FILE.de, or data=PAIRS.tsv"
    told: ClassVar[tuple[str, str, str]] = (
        "A translator",
        '.translate(["A man is walking."])',
        "What it writes is synthetic and may be wrong.",
    )
    recipe: Translate
    dataset: PairCorpus

    def prepare(self) -> None:
        """Serve the pairs that are held back, too: by length, as the others."""
        super().prepare()
        recipe, heldout = self.recipe, self.heldout_indices
        shares = (recipe.batch, recipe.seed, 1, 0, recipe.longest)
        self.heldout_batches = PairBatches(self.dataset.data, *shares, heldout) if len(heldout) else None

    def observe(self, rng: Rng) -> tuple[PairBatch, PairBatch | None]:
        """A batch of either side."""
        sides = [
            None if source is None else self.on_device(source(int(rng.integers(0, source.per_epoch, 1))))
            for source in (self.batches, self.heldout_batches)
        ]
        return sides[0], sides[1]  # type: ignore[return-value]

    # ------------------------------------------------------------------ samples and scores

    def sample(self, step: int) -> None:
        """Some held-out sentences, their translation, and a person's."""
        chosen = self.heldout_indices if len(self.heldout_indices) else self.train_indices
        sources, targets = self.dataset.texts(chosen[:SAMPLES])
        found = self.generator().translate(sources, beams=1)
        rows = [f"{s}\n→ {h}\n= {t}" for s, h, t in zip(sources, found, targets, strict=True)]
        write_file(self.run.path / "samples" / f"step_{step:06d}.txt", "\n\n".join(rows) + "\n")

    @staticmethod
    def examine(
        model: Translator, questions: Sequence[str], answers: Sequence[str], **asked: Any
    ) -> TextMeasurement:
        """BLEU and chrF of translations by beam search, or greedy ones."""
        found = model.translate(questions, beams=1 if asked["quick"] else 5)
        return TextMeasurement(measure_translation(found, answers, seed=asked["seed"]))

    @staticmethod
    def watched(measurement: TextMeasurement) -> QuickScore:
        """The doctor watches what BLEU misses to 100."""
        records = [score.as_dict() for score in measurement.scores]
        for record in records:
            record["signature"]["beams"] = 1
        return QuickScore(records, 100.0 - measurement["BLEU"].value, 0.0, {}, "BLEU missing to 100")

    def describe_data(self) -> dict[str, Any]:
        """The pairs, for run.json."""
        return super().describe_data() | {"task": "translation", "dropped": self.batches.dropped}
