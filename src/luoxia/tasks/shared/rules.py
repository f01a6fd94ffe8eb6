"""What goes wrong in models that learn from text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from luoxia.training.doctor import Chart, Finding, Rule


class Overfitting(Rule):
    """What was held out grows less likely to a model, while what it trains on grows more so."""

    def __init__(self, chart: Chart) -> None:
        super().__init__(chart)
        self.best = math.inf

    def judge_log(self) -> Iterator[Finding]:
        """By the negative log likelihoods of both sides."""
        seen, unseen = self.chart.recent("train_nll"), self.chart.recent("heldout_nll")
        if unseen:
            self.best = min(self.best, statistics.median(unseen))
        worse = max(1.1 * self.best, self.best + 0.05)  # of almost nothing, a tenth is nothing
        if unseen and min(unseen) > worse and min(unseen) > 1.2 * max(seen):
            yield Finding(
                "overfitting",
                "warning",
                f"held-out text costs {unseen[-1]:.2f} nats, {self.best:.2f} at its best, "
                f"and training text {seen[-1]:.2f}",
                "Stop here, raise dropout, choose a smaller size, or find more text",
                "dropout",
            )
