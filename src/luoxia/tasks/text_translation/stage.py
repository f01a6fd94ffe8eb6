"""Training on sentence pairs: translations of the same sentences, BLEU and chrF on pairs that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from luoxia.formats import txt
from luoxia.media.text.pairs import PairBatches
from luoxia.metrics.score import Measurement
from luoxia.metrics.translation import measure_translation
from luoxia.tasks.shared.pairs import PairSupervision
from luoxia.tasks.shared.supervised import SupervisedStage
from luoxia.tasks.text_translation.model import Translator
from luoxia.tasks.text_translation.objective import PairBatch
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Rng

SAMPLES = 8
"""Sentences in a sample: always the same, of those held out."""


class TranslationSupervision(PairSupervision):
    """Translations, judged by a person's."""

    def evaluate(
        self,
        model: Translator,
        inputs: Sequence[str],
        targets: Sequence[str],
        *,
        name: str,
        seed: int,
        quick: bool,
    ) -> Measurement:
        """BLEU and chrF of translations by beam search, or greedy ones."""
        translations = model.translate(inputs, beams=1 if quick else 5)
        return Measurement(measure_translation(translations, targets, seed=seed))

    def watched(self, measurement: Measurement) -> QuickScore:
        """The doctor follows what BLEU misses to 100."""
        records = [score.as_dict() for score in measurement.scores]
        for record in records:
            record["signature"]["beams"] = 1
        return QuickScore(records, 100.0 - measurement["BLEU"].value, 0.0, {}, "BLEU missing to 100")


SUPERVISION = TranslationSupervision()


class TranslationStage(SupervisedStage):
    """The training of a translator."""

    network: ClassVar[str] = "translator"
    supervision = SUPERVISION
    quick: ClassVar[int] = 64  # sentences translated, greedily, for a score between two steps
    batching: ClassVar[type[Any]] = PairBatches
    examples: ClassVar[type[Any]] = PairBatch
    card_text: ClassVar[tuple[str, str, str]] = (
        "A translator",
        '.translate(["A man is walking."])',
        "What it writes is synthetic and may be wrong.",
    )

    def prepare(self) -> None:
        """Serve the pairs that are held back, too: by length, as the others."""
        super().prepare()
        recipe, heldout = self.recipe, self.heldout_indices
        shares = (recipe.batch, recipe.seed, 1, 0, recipe.max_length)
        self.heldout_batches = PairBatches(self.data.data, *shares, heldout) if len(heldout) else None

    def observe(self, rng: Rng) -> tuple[PairBatch, PairBatch | None]:
        """A batch of either side."""
        sides = [
            None if source is None else self.on_device(source(int(rng.integers(0, source.per_epoch, 1))))
            for source in (self.batches, self.heldout_batches)
        ]
        return sides[0], sides[1]  # type: ignore[return-value]

    # ------------------------------------------------------------------ samples and scores

    def preview(self, out: Path) -> None:
        """Some held-out sentences, their translation, and a person's."""
        chosen = self.heldout_indices if len(self.heldout_indices) else self.train_indices
        sources, targets = self.data.texts(chosen[:SAMPLES])
        translations = self.model().translate(sources, beams=1)
        rows = [f"{s}\n→ {h}\n= {t}" for s, h, t in zip(sources, translations, targets, strict=True)]
        label = self.context.details().asked({"beams": 1})
        txt.write("\n\n".join(rows) + "\n", label, out.with_suffix(".txt"))

    def model(self) -> Translator:
        """The translator of this moment."""
        return Translator(self.network_copy(), self.data.tokenizer, **self.common())

    def describe_data(self) -> dict[str, Any]:
        """The pairs, for run.json."""
        own = {"task": "translation", "against": self.recipe.against, "dropped": self.batches.dropped}
        return super().describe_data() | own
