"""What trainings on examples with known targets share: the model is evaluated on those that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.order import spread
from luoxia.runs.run import Run
from luoxia.tasks.loading import load_model
from luoxia.tasks.measuring import keep_scores, run_of
from luoxia.tasks.record import ModelRecord, trained_config
from luoxia.tasks.shared.settings import MeasureSettings
from luoxia.tasks.shared.token_stage import TokenStage
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Phase

Indices = NDArray[np.int64]
Examples = tuple[list[str], list[str]]
"""Inputs and their targets: sentences and translations, texts and classes."""


class Supervision:
    """How the examples of a task are opened and split, and how a model's answers to them are judged."""

    def open(self, recipe: Any, data: str | None, against: str | None) -> Any:
        """The source of examples at ``data`` and ``against``, or of the recipe's own where ``data`` is None."""
        raise NotImplementedError

    def read(self, source: Any) -> Examples:
        """All examples of a source."""
        raise NotImplementedError

    def corpus(self, source: Any, tokenizer: Any) -> Any:
        """The source in a tokenizer's tokens, under its fingerprint."""
        raise NotImplementedError

    def split(self, corpus: Any, recipe: Any) -> tuple[Indices, Indices]:
        """(train, held-out) examples."""
        raise NotImplementedError

    def evaluate(
        self, model: Any, inputs: Sequence[str], targets: Sequence[str], *, name: str, seed: int, quick: bool
    ) -> Any:
        """Scores of the model's answers: ``scores``, ``as_dict()``. ``name`` says whose these are, for signatures."""
        raise NotImplementedError

    def watched(self, measurement: Any) -> QuickScore:
        """What the doctor follows of a measurement."""
        raise NotImplementedError

    def keep(self, run: Run, measurement: Any) -> None:
        """Write what the final measurement has besides its scores into the run."""


class SupervisedStage(TokenStage):
    """A training on examples. Its data set's ``texts(indices)`` are inputs and targets."""

    supervision: ClassVar[Supervision]
    quick: ClassVar[int]
    """Examples in a score between two steps."""
    batching: ClassVar[type[Any]]
    """What serves examples, as NumPy's arrays."""
    examples: ClassVar[type[Any]]
    """What the objective learns from: the same as tensors."""

    def prepare(self) -> None:
        """Hold some examples back, and serve the rest."""
        recipe, world = self.recipe, self.world
        self.train_indices, self.heldout_indices = self.supervision.split(self.data, recipe)
        shares = (recipe.batch, recipe.seed, world.size, world.rank, recipe.max_length)
        self.batches = self.batching(self.data.data, *shares, self.train_indices)

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

    def quick_score(self) -> QuickScore | None:
        """Of some held-out examples, spread over all of them."""
        measurement = self._evaluate_heldout(self.quick, quick=True)
        if measurement is None:
            return None
        return self.supervision.watched(measurement).of(self.quick, len(self.heldout_indices))

    def evaluate(self) -> list[dict[str, Any]]:
        """Of the held-out examples."""
        measurement = self._evaluate_heldout(self.recipe.score_samples, quick=False)
        if measurement is None:
            return []
        self.supervision.keep(self.context.run, measurement)
        return [score.as_dict() for score in measurement.scores]

    def _evaluate_heldout(self, most: int, *, quick: bool) -> Any:
        chosen = spread(self.heldout_indices, most)
        if len(chosen) < 2:
            return None
        name, seed = held_out_name(self.data, self.recipe), self.recipe.seed + 1
        inputs, targets = self.data.texts(chosen)
        return self.supervision.evaluate(self.model(), inputs, targets, name=name, seed=seed, quick=quick)

    def describe_data(self) -> dict[str, Any]:
        """The examples, for run.json."""
        counts = {"train": len(self.train_indices), "heldout": len(self.heldout_indices)}
        return super().describe_data() | counts


def evaluate_again(
    supervision: Supervision,
    recipe: Any,
    model: Any,
    fingerprint: str,
    data: str | None,
    against: str | None,
    n: int | None,
    seed: int | None,
) -> Any:
    """The scores of a trained model: on its held-out examples, or on up to ``n`` of those at ``data``.

    ``UsageError`` when the recipe's own data no longer has the ``fingerprint``, ``LuoxiaError`` when there is nothing
    to evaluate it on.
    """
    source = supervision.open(recipe, data, against)
    inputs, targets = supervision.read(source)
    chosen, name = np.arange(len(inputs)), f"{source.fingerprint[:8]} whole"
    if data is None:
        corpus = supervision.corpus(source, model.tokenizer)
        if corpus.fingerprint != fingerprint:
            raise UsageError(
                f"the data at {source.title} has changed since training began; name it as data= to use it"
            )
        chosen, name = supervision.split(corpus, recipe)[1], held_out_name(corpus, recipe)
    chosen = spread(chosen, n or recipe.score_samples or len(chosen))
    if len(chosen) < 2:
        raise LuoxiaError(
            f"{len(chosen)} of the examples in {source.title} can be used: name two or more as data="
        )
    inputs, targets = ([side[i] for i in chosen] for side in (inputs, targets))
    seed = recipe.seed + 1 if seed is None else seed
    return supervision.evaluate(model, inputs, targets, name=name, seed=seed, quick=False)


def measure_run(
    supervision: Supervision, record: ModelRecord, settings: dict[str, Any], keys: type[MeasureSettings]
) -> Any:
    """Score a run, and keep the scores where they are of its own held-out examples."""
    chosen = keys.from_settings(settings)
    against = getattr(chosen, "against", None)
    if against is not None and chosen.data is None:
        raise UsageError("against= is the other side of data=: give both, or neither")
    run = run_of(record)
    recipe = trained_config(run)
    model, fingerprint = load_model(record, device=chosen.device), run.manifest["data"]["fingerprint"]
    measurement = evaluate_again(
        supervision, recipe, model, fingerprint, chosen.data, against, chosen.n, chosen.seed
    )
    if chosen.data is None:
        supervision.keep(run, measurement)
        keep_scores(record, measurement.scores)
    return measurement


def held_out_name(corpus: Any, recipe: Any) -> str:
    """Which examples were held out, for signatures."""
    return f"{corpus.fingerprint[:8]} held out {recipe.holdout:g} seed {recipe.seed}"
