"""Training on sentence pairs: translations of the same sentences, BLEU and chrF on pairs that were held out."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from luoxia.data.batches import holdout_split
from luoxia.data.text.corpus import PairCorpus, open_pair_corpus
from luoxia.data.text.pairs import PairBatches
from luoxia.errors import UsageError
from luoxia.generation.token_model import TokenModel
from luoxia.generation.translation import Translator
from luoxia.metrics.score import Score
from luoxia.metrics.translation import measure_translation
from luoxia.objectives.base import Phase, Rng
from luoxia.objectives.language import PairBatch
from luoxia.provenance.files import write_file
from luoxia.recipes import Translate
from luoxia.runs.display import Display
from luoxia.sessions.base import absolute
from luoxia.sessions.tokens import TokenSession
from luoxia.training.loop import QuickScore

SAMPLES = 8
"""Sentences in a sample: always the same, of those held out."""
QUICK = 64
"""Sentences translated, greedily, for a score between two steps."""


class TranslationSession(TokenSession):
    """The training of a translator."""

    exported: ClassVar[str] = "translator"
    network: ClassVar[str] = "translator"
    model: ClassVar[type[TokenModel[Any]]] = Translator
    unit: ClassVar[str] = "tokens"
    told: ClassVar[tuple[str, str, str]] = (
        "A translator",
        '.translate(["A man is walking."])',
        "What it writes is synthetic and may be wrong.",
    )
    recipe: Translate
    dataset: PairCorpus

    @staticmethod
    def open_data(recipe: Translate, display: Display | None = None) -> PairCorpus:
        """The pairs that ``data`` and ``against`` name."""
        if recipe.data is None:
            raise UsageError("translate needs data=FILE.en against=FILE.de, or data=PAIRS.tsv")
        return open_pair_corpus(recipe.data, recipe.against, recipe.tokeniser, recipe.vocabulary)

    @staticmethod
    def settle(recipe: Translate, dataset: PairCorpus) -> dict[str, Any]:
        """The other language's file, wherever the run is resumed from."""
        return {} if recipe.against is None else {"against": absolute(recipe.against)}

    @staticmethod
    def announce(dataset: PairCorpus) -> str:
        """Pairs and vocabulary."""
        kind, size = dataset.tokeniser.kind, dataset.tokeniser.vocabulary
        return f"{len(dataset):,} pairs ({kind}, {size:,} tokens in all), {dataset.source}"

    def prepare(self) -> None:
        """Hold some pairs back, and serve the rest by length."""
        recipe, world = self.recipe, self.world
        train, heldout = holdout_split(len(self.dataset), recipe.holdout, recipe.seed)
        if recipe.holdout == 0:
            train, heldout = np.arange(len(self.dataset)), heldout[:0]
        self.train_indices, self.heldout_indices = train, heldout
        common = {"tokens": recipe.batch, "seed": recipe.seed, "longest": recipe.longest}
        pairs = self.dataset.pairs
        self.batches = PairBatches(pairs, world_size=world.size, rank=world.rank, samples=train, **common)
        self.heldout_batches = PairBatches(pairs, samples=heldout, **common) if len(heldout) else None

    def batch(self, phase: Phase, index: int) -> PairBatch:
        """Pairs of like length."""
        return self._on_device(self.batches, index)

    def observe(self, rng: Rng) -> tuple[PairBatch, PairBatch | None]:
        """A batch of either side."""
        sides = [
            None if source is None else self._on_device(source, int(rng.integers(0, source.per_epoch, 1)))
            for source in (self.batches, self.heldout_batches)
        ]
        return sides[0], sides[1]  # type: ignore[return-value]

    def _on_device(self, source: PairBatches, index: int) -> PairBatch:
        return PairBatch(*(torch.from_numpy(side).to(self.world.device) for side in source(index)))

    # ------------------------------------------------------------------ samples and scores

    def sample(self, step: int) -> None:
        """Some held-out sentences, their translation, and a person's."""
        chosen = self.heldout_indices if len(self.heldout_indices) else self.train_indices
        sources, targets = self.dataset.texts(chosen[:SAMPLES])
        found = self.generator().translate(sources, beams=1)
        rows = [f"{s}\n→ {h}\n= {t}" for s, h, t in zip(sources, found, targets, strict=True)]
        write_file(self.run.path / "samples" / f"step_{step:06d}.txt", "\n\n".join(rows) + "\n")

    def quick_score(self, step: int) -> QuickScore | None:
        """BLEU of a few held-out sentences; the doctor watches what is missing to 100."""
        scores = self._scores(self.heldout_indices[:QUICK], beams=1)
        if not scores:
            return None
        bleu = next(score for score in scores if score.name == "BLEU")
        return QuickScore(
            [score.as_dict() for score in scores], 100.0 - bleu.value, 0.0, {}, "BLEU missing to 100"
        )

    def measure(self) -> list[dict[str, Any]]:
        """Translations of held-out sentences by beam search."""
        chosen = self.heldout_indices[: self.recipe.score_samples]
        return [score.as_dict() for score in self._scores(chosen, beams=5)]

    def _scores(self, chosen: Any, beams: int) -> list[Score]:
        if len(chosen) < 2:
            return []
        sources, targets = self.dataset.texts(chosen)
        found = self.generator().translate(sources, beams=beams)
        return measure_translation(found, targets, seed=self.recipe.seed + 1)

    def describe_data(self) -> dict[str, Any]:
        """The pairs, for run.json."""
        return self.describe_tokens() | {
            "against": self.recipe.against,
            "train": len(self.train_indices),
            "heldout": len(self.heldout_indices),
            "dropped": self.batches.dropped,
            "skipped": self.dataset.pairs.skips.count,
        }
