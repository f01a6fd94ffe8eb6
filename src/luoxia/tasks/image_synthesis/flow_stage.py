"""Training a flow."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from luoxia.core.order import spread
from luoxia.metrics.score import Score
from luoxia.tasks.image_synthesis.flow import Flow
from luoxia.tasks.image_synthesis.flow_generator import FlowGenerator
from luoxia.tasks.image_synthesis.stage import SynthesisStage
from luoxia.tasks.shared.flow_matching import FlowMatching
from luoxia.training.loop import QuickScore
from luoxia.training.objective import Objective

QUICK = 256
"""Held-out images of a score between two steps: always the same."""


class FlowStage(SynthesisStage):
    """The training of a flow."""

    network: ClassVar[str] = "flow"
    recipe: Flow

    def objective(self) -> Objective:
        """The loss on velocities."""
        recipe = self.recipe
        network = recipe.network(self.data.spec, self.spec)
        self.adapt(network)
        return FlowMatching(self.network, network, recipe.t_mean, recipe.t_spread)

    def generator(self) -> FlowGenerator:
        """Of the weights of this moment."""
        network: Any = self.network_now()
        return FlowGenerator(network, self.recipe.solver, self.recipe.t_mean, self.recipe.t_spread)

    @property
    def scored(self) -> bool:
        """The loss on held-out images needs no extractor."""
        return True

    def prepare_scores(self) -> None:
        """The real side, for scores that need an extractor."""
        if super().scored:
            super().prepare_scores()

    def quick_score(self) -> QuickScore | None:
        """The loss on held-out images: samples would take minutes."""
        if len(self.heldout_indices) == 0:
            return None
        score = self._predicted(spread(self.heldout_indices, QUICK))
        return QuickScore([score.as_dict()], score.value, 0.0, {}, score.name)

    def _predicted(self, rows: NDArray[np.int64]) -> Score:
        (score,) = self.generator().predict(self.data, self.train_indices, rows, self.conditions.whole)
        return score

    def evaluate(self) -> list[dict[str, Any]]:
        """How it estimates held-out images, and what its samples are like."""
        rows = self.heldout_indices
        predicted = [self._predicted(rows).as_dict()] if len(rows) else []
        return predicted + (super().evaluate() if super().scored else [])
