"""What goes wrong between a generator and a discriminator.

The statistics are those that ``Adversarial.observe`` logs. A recipe whose discriminator has a bounded slope
has the key ``penalty``; recipes of translators have not, and are advised by the keys that they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luoxia.runs.reported import PATIENCE
from luoxia.training.doctor import Finding, Rule, Watched

ALIKE_UNTIL, UNEVEN_UNTIL = (0.1, 600), (0.3, 2000)
"""Share of the run, and steps at most, in which a generator may still make all samples alike, or few of the classes."""
PROBABILISTIC = ("minimax", "nonsaturating", "hinge", "lsgan")
"""Losses under which the sign of a logit is a verdict."""


class AdversarialRule(Rule):
    """A rule whose advice depends on what the recipe lets one set."""

    @property
    def bounded(self) -> bool:
        """Whether D's slope can be bounded by a penalty: not in recipes for translators."""
        return self.setting("penalty") is not None

    def setting(self, key: str) -> Any:
        """A setting of the recipe, None where it has no such key."""
        return getattr(self.recipe, key, None)

    def if_bounded(self, advice: str) -> str:
        """Advice that speaks of the penalty's keys, where there are any."""
        return advice if self.bounded else ""

    def penalty_key(self) -> str:
        """The key that bounds D."""
        if not self.bounded:
            return "d_lr"
        return "penalty" if self.setting("penalty") == "none" else "gamma"

    def penalty_advice(self) -> str:
        """How to bound D, or to bound it more."""
        if not self.bounded:
            return "Lower d_lr"
        if self.setting("penalty") == "none":
            return "Add penalty=r1"
        return f"Raise gamma (now {self.setting('gamma'):g})"


class ModeCollapse(AdversarialRule):
    """What is generated is alike."""

    def judge_log(self) -> Iterator[Finding]:
        """By the mean distance between samples, over that between real ones."""
        ratios, chart = self.chart.recent("diversity"), self.chart
        if ratios and max(ratios) < 0.5 and not chart.is_young(chart.logs[0]["step"], *ALIKE_UNTIL):
            yield Finding(
                "mode collapse",
                "error",
                f"generated images differ from each other {ratios[-1]:.0%} as much as real ones do",
                f"{self.penalty_advice()}, lower lr (now {self.recipe.lr:g}), or set loss=relativistic",
                self.penalty_key(),
            )


class StrongDiscriminator(AdversarialRule):
    """D tells everything apart, so that G learns nothing."""

    def judge_log(self) -> Iterator[Finding]:
        """By the sign of D's logits."""
        real, fake = self.chart.recent("real_sign"), self.chart.recent("fake_sign")
        if self.setting("loss") in PROBABILISTIC and real and min(real) > 0.98 and max(fake) < -0.98:
            yield Finding(
                "strong discriminator",
                "warning",
                f"D tells {(1 + real[-1]) / 2:.1%} of the real and {(1 - fake[-1]) / 2:.1%} of the generated images",
                "Lower d_lr" + self.if_bounded(", add or raise penalty=r1 (gamma), or add dropout"),
                "d_lr",
            )


class WeakDiscriminator(AdversarialRule):
    """D takes what is generated for real."""

    def judge_log(self) -> Iterator[Finding]:
        """By the difference of D's logits."""
        sides = (self.chart.recent("real_logit"), self.chart.recent("fake_logit"))
        gap = [real - fake for real, fake in zip(*sides, strict=True)] if all(sides) else []
        if gap and max(gap) <= 0:
            yield Finding(
                "weak discriminator",
                "warning",
                f"D scores generated images above real ones by {-gap[-1]:.3g}",
                "Raise d_lr" + self.if_bounded(" or d_steps, or lower dropout and gamma"),
                "d_steps" if self.bounded else "d_lr",
            )


class DiscriminatorOverfitting(AdversarialRule):
    """r_v of Karras et al. 2020 (arXiv:2006.06676, eq. 1): 0 as on unseen samples, 1 as on generated ones."""

    def judge_log(self) -> Iterator[Finding]:
        """By D's logits of what was held out."""
        ratios = []
        for log in self.chart.logs:
            s = log["statistics"]
            if "heldout_logit" in s and s["train_logit"] - s["fake_logit"] > 0.1:
                ratios.append((s["train_logit"] - s["heldout_logit"]) / (s["train_logit"] - s["fake_logit"]))
        if len(ratios) == PATIENCE and min(ratios) > 0.5:
            yield Finding(
                "overfitting",
                "warning",
                f"D treats held-out real images {ratios[-1]:.0%} like generated ones",
                "Add augment=translation,cutout (mirror and color where they suit), raise gamma, or find more data"
                if self.bounded
                else "Raise load_size= above size=, set mirror=true where it suits, or find more data",
                "augment" if self.bounded else "load_size",
            )


class MissingClasses(AdversarialRule):
    """A class is hardly made, or one alone."""

    def judge_score(self, score: Watched) -> Iterator[Finding]:
        """From the second score on."""
        classes = score.classes
        if self.chart.is_young(score.step, *UNEVEN_UNTIL) or len(self.chart.distances) < 2 or not classes:
            return
        missing = [name for name, share in classes.items() if share < 0.1 / len(classes)]
        largest = max(classes, key=lambda name: classes[name])
        if missing or classes[largest] > 0.5 + 0.5 / len(classes):
            what = f"hardly any of {', '.join(missing)}" if missing else "all classes"
            yield Finding(
                "missing classes",
                "error" if len(missing) > len(classes) / 2 else "warning",
                f"{classes[largest]:.0%} of the samples look like {largest}, {what}",
                f"Mode collapse: {self.penalty_advice()}, or lower lr (now {self.recipe.lr:g})",
                self.penalty_key(),
            )


RULES: tuple[type[Rule], ...] = (
    ModeCollapse,
    StrongDiscriminator,
    WeakDiscriminator,
    DiscriminatorOverfitting,
    MissingClasses,
)
