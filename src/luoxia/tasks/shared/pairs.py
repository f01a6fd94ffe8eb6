"""What trainings on pairs of texts share: how the pairs are opened, split and described."""

from __future__ import annotations

from typing import Any, ClassVar

from luoxia.core.errors import UsageError
from luoxia.core.names import many
from luoxia.core.order import holdout_split
from luoxia.media.text.alignment import PairSource, read_pairs
from luoxia.media.text.corpus import PairCorpus, open_pair_corpus
from luoxia.media.text.pairs import PairDataset
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.runs.display import Display
from luoxia.tasks.shared.supervised import ExaminedSession, Examples, Indices
from luoxia.training.session import absolute


class PairSession(ExaminedSession):
    """A training on pairs: the first side asks, the second answers."""

    needs: ClassVar[str]
    """How the data is named, for who named none."""
    dataset: PairCorpus

    @classmethod
    def open_data(cls, recipe: Any, display: Display | None = None) -> PairCorpus:
        """The pairs that ``data`` and ``against`` name."""
        if recipe.data is None:
            raise UsageError(f"{type(recipe).name} needs {cls.needs}")
        return open_pair_corpus(
            recipe.data, recipe.against, recipe.tokenizer, recipe.vocabulary, recipe.allow_skipped
        )

    @staticmethod
    def settle(recipe: Any, dataset: PairCorpus) -> dict[str, Any]:
        """The other file, wherever the run is resumed from."""
        return {} if recipe.against is None else {"against": absolute(recipe.against)}

    @staticmethod
    def announce(dataset: PairCorpus) -> str:
        """Pairs and vocabulary."""
        kind, size = dataset.tokenizer.kind, dataset.tokenizer.vocabulary
        return f"{many(len(dataset), 'pair')} ({kind}, {size:,} tokens in all), {dataset.source}"

    @staticmethod
    def open_source(recipe: Any, data: str | None, against: str | None) -> PairSource:
        """Two aligned files, or one of two columns."""
        sides = (recipe.data, recipe.against) if data is None else (data, against)
        return read_pairs(*sides, allow_skipped=recipe.allow_skipped)

    @staticmethod
    def read_examples(source: PairSource) -> Examples:
        """All pairs."""
        pairs = list(source.pairs())
        return [pair.source for pair in pairs], [pair.target for pair in pairs]

    @staticmethod
    def open_corpus(source: PairSource, tokenizer: Tokenizer) -> PairCorpus:
        """The pairs in tokens."""
        return PairCorpus(PairDataset.open(source, tokenizer), tokenizer)

    @staticmethod
    def split(corpus: PairCorpus, recipe: Any) -> tuple[Indices, Indices]:
        """By chance; ``holdout=0`` holds none out."""
        return holdout_split(len(corpus), recipe.holdout, recipe.seed)

    def describe_data(self) -> dict[str, Any]:
        """The pairs, for run.json."""
        return self.describe_tokens() | {
            "against": self.recipe.against,
            "train": len(self.train_indices),
            "heldout": len(self.heldout_indices),
            "skipped": self.dataset.data.skips.count,
        }
