"""What goes wrong in any training, whatever is learned: gradients that are not finite, explode or vanish; a score
that no longer falls."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import ClassVar

from luoxia.training.doctor import Finding, Rule, Watched


class NonFiniteGradients(Rule):
    """Updates were skipped."""

    at_once: ClassVar[bool] = True

    def judge_log(self) -> Iterator[Finding]:
        """At the first one."""
        skipped = self.chart.logs[-1].get("skipped", 0)
        if skipped > 0:
            evidence = f"{skipped:.0%} of the updates since the last line were skipped"
            advice, key = self.recipe.remedy("non-finite gradients")
            yield Finding("non-finite gradients", "error", evidence, advice, key)


class GradientNorms(Rule):
    """A phase's gradient norm is far from what it was at its start. A regularizer's may vanish."""

    def judge_log(self) -> Iterator[Finding]:
        """Each phase by itself."""
        for phase, early in self.chart.first_gradients.items():
            usual = statistics.median(early)
            recent = [log["gradients"].get(phase, usual) for log in self.chart.logs]
            if min(recent) > max(100 * usual, 10.0):
                yield self._finding("exploding gradients", phase, min(recent), usual)
            elif self.chart.roles.get(phase) != "regularizer" and max(recent) < max(1e-3 * usual, 1e-7):
                yield self._finding("vanishing gradients", phase, max(recent), usual)

    def _finding(self, illness: str, phase: str, norm: float, usual: float) -> Finding:
        evidence = f"the {phase}'s gradient norm is {norm:.3g}, at the start it was {usual:.3g}"
        advice, key = self.recipe.remedy(illness)
        return Finding(illness, "error", evidence, advice, key)


class StalledScore(Rule):
    """The score was better long ago."""

    def judge_score(self, score: Watched) -> Iterator[Finding]:
        """Of six scores or more, those after the best."""
        distances = self.chart.distances
        if len(distances) < 6:
            return
        best_step, best = min(distances, key=lambda pair: pair[1])
        recent = [value for _, value in distances[-3:]]
        behind = sum(step > best_step for step, _ in distances)
        if behind >= 5 and min(recent) > 1.3 * best and best > 2 * score.reference:
            yield Finding(
                "stalled score",
                "warning",
                f"the {score.name} was best at step {best_step} ({best:.3g}) and is {recent[-1]:.3g} now",
                "Let the learning rate fall (schedule=cosine), or stop here and keep the earlier checkpoint",
                "schedule",
            )


RULES: tuple[type[Rule], ...] = (NonFiniteGradients, GradientNorms, StalledScore)
