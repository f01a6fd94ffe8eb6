"""What trainings on examples with known answers share: the model is examined on those that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.order import spread
from luoxia.runs.run import Run
from luoxia.tasks.shared.token_training import TokenSession
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Phase

Indices = NDArray[np.int64]
Examples = tuple[list[str], list[str]]
"""Questions and their answers: sentences and translations, texts and classes."""


class ExaminedSession(TokenSession):
    """A training on examples. Its data set's ``texts(indices)`` are questions and answers."""

    quick: ClassVar[int]
    """Examples in a score between two steps."""
    batching: ClassVar[type[Any]]
    """What serves examples, as NumPy's arrays."""
    examples: ClassVar[type[Any]]
    """What the objective learns from: the same as tensors."""
    train_indices: Indices
    heldout_indices: Indices

    def prepare(self) -> None:
        """Hold some examples back, and serve the rest."""
        recipe, world = self.recipe, self.world
        self.train_indices, self.heldout_indices = self.split(self.dataset, recipe)
        shares = (recipe.batch, recipe.seed, world.size, world.rank, recipe.longest)
        self.batches = self.batching(self.dataset.data, *shares, self.train_indices)

    def batch(self, phase: Phase, index: int) -> Any:
        """Examples."""
        return self.on_device(self.batches(index))

    def gather(self, chosen: Indices) -> Any:
        """These examples (n,), for ``batching`` that serves any."""
        return self.on_device(self.batches.gather(chosen))

    def on_device(self, batch: Any) -> Any:
        """A batch as the objective takes it: the same sides, by their names."""
        sides = {name: torch.from_numpy(side) for name, side in batch._asdict().items()}
        return self.examples(**sides).to(self.world.device)

    # ------------------------------------------------------------------ what each kind says for itself

    @staticmethod
    def open_source(recipe: Any, data: str | None, against: str | None) -> Any:
        """The source of examples at ``data`` and ``against``, or of the recipe's own where ``data`` is None."""
        raise NotImplementedError

    @staticmethod
    def read_examples(source: Any) -> Examples:
        """All examples of a source."""
        raise NotImplementedError

    @staticmethod
    def open_corpus(source: Any, tokenizer: Any) -> Any:
        """The source in a tokenizer's tokens, under its fingerprint."""
        raise NotImplementedError

    @staticmethod
    def split(corpus: Any, recipe: Any) -> tuple[Indices, Indices]:
        """(train, held-out) examples."""
        raise NotImplementedError

    @staticmethod
    def examine(model: Any, questions: Sequence[str], answers: Sequence[str], **asked: Any) -> Any:
        """Scores of the model's answers: ``scores``, ``as_dict()``.

        ``asked`` is ``name``, which tells whose answers these are, for signatures; ``seed``; and ``quick``.
        """
        raise NotImplementedError

    @staticmethod
    def watched(measurement: Any) -> QuickScore:
        """What the doctor hears of a measurement."""
        raise NotImplementedError

    @staticmethod
    def keep(run: Run, measurement: Any) -> None:
        """Write what the final measurement has besides its scores into the run."""

    # ------------------------------------------------------------------ scores

    def quick_score(self, step: int) -> QuickScore | None:
        """Of some held-out examples, spread over all of them."""
        measurement = self._examine_heldout(self.quick, quick=True)
        return (
            None
            if measurement is None
            else self.watched(measurement).of(self.quick, len(self.heldout_indices))
        )

    def measure(self) -> list[dict[str, Any]]:
        """Of the held-out examples."""
        measurement = self._examine_heldout(self.recipe.score_samples, quick=False)
        if measurement is None:
            return []
        self.keep(self.run, measurement)
        return [score.as_dict() for score in measurement.scores]

    def _examine_heldout(self, most: int, *, quick: bool) -> Any:
        chosen = spread(self.heldout_indices, most)
        if len(chosen) < 2:
            return None
        name, seed = held_out_name(self.dataset, self.recipe), self.recipe.seed + 1
        return self.examine(self.generator(), *self.dataset.texts(chosen), name=name, seed=seed, quick=quick)

    @classmethod
    def examine_again(
        cls,
        recipe: Any,
        model: Any,
        fingerprint: str,
        data: str | None,
        against: str | None,
        n: int | None,
        seed: int | None,
    ) -> Any:
        """The scores of a trained model: on its held-out examples, or on up to ``n`` of those at ``data``.

        ``UsageError`` when the recipe's own data no longer has the ``fingerprint``, ``LuoxiaError`` when there is
        nothing to examine it on.
        """
        source = cls.open_source(recipe, data, against)
        questions, answers = cls.read_examples(source)
        chosen, name = np.arange(len(questions)), f"{source.fingerprint[:8]} whole"
        if data is None:
            corpus = cls.open_corpus(source, model.tokenizer)
            if corpus.fingerprint != fingerprint:
                raise UsageError(
                    f"the data at {source.title} has changed since training began; name it as data= to use it"
                )
            chosen, name = cls.split(corpus, recipe)[1], held_out_name(corpus, recipe)
        chosen = spread(chosen, n or recipe.score_samples or len(chosen))
        if len(chosen) < 2:
            raise LuoxiaError(
                f"{len(chosen)} of the examples in {source.title} can be asked: name two or more as data="
            )
        questions, answers = ([side[i] for i in chosen] for side in (questions, answers))
        seed = recipe.seed + 1 if seed is None else seed
        return cls.examine(model, questions, answers, name=name, seed=seed, quick=False)


def held_out_name(corpus: Any, recipe: Any) -> str:
    """Which examples were held out, for signatures."""
    return f"{corpus.fingerprint[:8]} held out {recipe.holdout:g} seed {recipe.seed}"
