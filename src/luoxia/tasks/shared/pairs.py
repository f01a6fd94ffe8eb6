"""What trainings on pairs of texts share: how the pairs are opened and split."""

from __future__ import annotations

from typing import Any

from luoxia.core.order import holdout_split
from luoxia.media.text.alignment import PairSource, read_pairs
from luoxia.media.text.corpus import PairCorpus, open_pair_corpus
from luoxia.media.text.pairs import PairDataset
from luoxia.media.text.tokenizer import Tokenizer
from luoxia.tasks.shared.supervised import Examples, Indices, Supervision
from luoxia.tasks.shared.token_stage import base_tokenizer


class PairSupervision(Supervision):
    """Pairs: the first side is the input, the second the target."""

    def open(self, recipe: Any, data: str | None, against: str | None) -> PairSource:
        """Two aligned files, or one of two columns."""
        sides = (recipe.data, recipe.against) if data is None else (data, against)
        return read_pairs(*sides, allow_skipped=recipe.allow_skipped)

    def read(self, source: PairSource) -> Examples:
        """All pairs."""
        pairs = list(source.pairs())
        return [pair.source for pair in pairs], [pair.target for pair in pairs]

    def corpus(self, source: PairSource, tokenizer: Tokenizer) -> PairCorpus:
        """The pairs in tokens."""
        return PairCorpus(PairDataset.open(source, tokenizer), tokenizer)

    def split(self, corpus: PairCorpus, recipe: Any) -> tuple[Indices, Indices]:
        """By chance; ``holdout=0`` holds none out."""
        return holdout_split(len(corpus), recipe.holdout, recipe.seed)


def open_pairs(recipe: Any) -> PairCorpus:
    """The pairs that ``data`` and ``against`` name."""
    return open_pair_corpus(
        recipe.data, recipe.against, base_tokenizer(recipe), recipe.vocabulary, recipe.allow_skipped
    )
