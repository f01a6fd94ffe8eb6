"""What goes wrong in models that predict their data."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import ClassVar

from luoxia.training.doctor import Chart, Finding, Rule


class Overfitting(Rule):
    """What was held out grows less likely to a model, while what it trains on grows more so."""

    statistic: ClassVar[str] = "nll"
    """What the objective observes of both sides, as ``train_nll`` and ``heldout_nll``; it should fall."""
    rise: ClassVar[float] = 1.1
    """A value this many times the best one is worse than chance makes it."""
    least: ClassVar[float] = 0.05
    """A rise is more than this: of almost nothing, a tenth is nothing."""
    gap: ClassVar[float] = 1.2
    """The held-out value is this many times that of training."""
    evidence: ClassVar[str] = (
        "held-out text costs {unseen:.2f} nats, {best:.2f} at its best, and training text {seen:.2f}"
    )
    advice: ClassVar[str] = "Stop here, raise dropout, choose a smaller size, or find more text"

    def __init__(self, chart: Chart) -> None:
        super().__init__(chart)
        self.best = math.inf

    def judge_log(self) -> Iterator[Finding]:
        """By what the last log lines observe of both sides."""
        seen, unseen = (self.chart.recent(f"{side}_{self.statistic}") for side in ("train", "heldout"))
        if not unseen:
            return
        self.best = min(self.best, statistics.median(unseen))
        worse = max(self.rise * self.best, self.best + self.least)
        if min(unseen) > worse and min(unseen) > self.gap * max(seen):
            evidence = self.evidence.format(unseen=unseen[-1], best=self.best, seen=seen[-1])
            yield Finding("overfitting", "warning", evidence, self.advice, "dropout")
