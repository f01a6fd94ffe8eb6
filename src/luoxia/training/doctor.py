"""The doctor: reads the log while training runs and names what goes wrong, with the key to change.

Every rule looks at cheap statistics, asks for persistence before it speaks, and gives its evidence in numbers.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from luoxia.training.objective import Role
from luoxia.training.recipe import Recipe

PATIENCE = 4
"""Log lines in a row that must agree before a finding is made."""


YOUNG = 150
"""Steps in which nothing but a non-finite gradient is an illness."""
ALIKE_UNTIL, UNEVEN_UNTIL = (0.1, 600), (0.3, 2000)
"""Share of the run, and steps at most, in which a generator may still make all images alike, or few of the classes."""


@dataclass(frozen=True)
class Finding:
    """One diagnosis: ``name`` is the illness, ``key`` the setting to change, ``advice`` how."""

    name: str
    severity: str
    evidence: str
    advice: str
    key: str

    def as_dict(self) -> dict[str, str]:
        """The content of a line of metrics.jsonl."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.advice}"


class Doctor:
    """Keeps the last log lines and scores of one run, and turns them into findings.

    A finding is made once, and again only after its evidence has gone and come back.
    """

    def __init__(self, recipe: Recipe, roles: Mapping[str, Role] | None = None) -> None:
        """``roles``: what each phase is for; one that is not named trains the model."""
        self.recipe = recipe
        self.roles = roles or {}
        self.logs: deque[dict[str, Any]] = deque(maxlen=PATIENCE)
        self.first_gradients: dict[str, list[float]] = {}
        self.best_heldout = math.inf
        self.distances: list[tuple[int, float]] = []
        self._watched = ""
        self._active: dict[str, set[str]] = {}

    def observe_log(self, step: int, log: dict[str, Any]) -> list[Finding]:
        """Take in one log line; the findings that are new."""
        self.logs.append({"step": step, **log})
        for phase, norm in log["gradients"].items():
            early = self.first_gradients.setdefault(phase, [])
            if len(early) < 5:
                early.append(norm)
        return self._new("log", list(self._diagnose(log)))

    def observe_scores(
        self,
        step: int,
        distance: float,
        floor: float,
        classes: dict[str, float],
        name: str = "Fréchet distance",
    ) -> list[Finding]:
        """Take in a quick score that should fall: its floor and name, and the share of each class."""
        if name != self._watched:  # what was watched before, as by an older version, does not compare
            self.distances.clear()
            self._watched = name
        self.distances.append((step, distance))
        uneven = [] if self._young(step, *UNEVEN_UNTIL) else self._missing_classes(classes)
        return self._new("scores", [*uneven, *self._stalled(floor, name)])

    def _new(self, source: str, found: list[Finding]) -> list[Finding]:
        """Those that the last look at the same source did not find."""
        before = self._active.get(source, set())
        self._active[source] = {finding.name for finding in found}
        return [finding for finding in found if finding.name not in before]

    def _young(self, step: int, share: float, most: int) -> bool:
        steps = self.recipe.steps
        return step < (most if steps is None else min(share * steps, most))

    # ------------------------------------------------------------------ the rules

    def _diagnose(self, log: dict[str, Any]) -> Iterator[Finding]:
        yield from self._non_finite(log)
        if len(self.logs) < PATIENCE or self.logs[0]["step"] < YOUNG:
            return
        yield from self._gradients()
        yield from self._collapsed()
        yield from self._balance()
        yield from self._overfitting()
        yield from self._reciting()

    def _non_finite(self, log: dict[str, Any]) -> Iterator[Finding]:
        if log.get("skipped", 0) > 0:
            evidence = f"{log['skipped']:.0%} of the updates since the last line were skipped"
            advice, key = self.recipe.remedy("non-finite gradients")
            yield Finding("non-finite gradients", "error", evidence, advice, key)

    def _gradients(self) -> Iterator[Finding]:
        for phase, early in self.first_gradients.items():
            usual = statistics.median(early)
            recent = [log["gradients"].get(phase, usual) for log in self.logs]
            began = f"at the start it was {usual:.3g}"
            if min(recent) > max(100 * usual, 10.0):
                evidence = f"the {phase}'s gradient norm is {min(recent):.3g}, {began}"
                advice, key = self.recipe.remedy("exploding gradients")
                yield Finding("exploding gradients", "error", evidence, advice, key)
            elif self.roles.get(phase) != "regularizer" and max(recent) < max(1e-3 * usual, 1e-7):
                evidence = f"the {phase}'s gradient norm is {max(recent):.3g}, {began}"
                advice, key = self.recipe.remedy("vanishing gradients")
                yield Finding("vanishing gradients", "error", evidence, advice, key)

    def _collapsed(self) -> Iterator[Finding]:
        ratios = self._recent("diversity")
        if ratios and max(ratios) < 0.5 and not self._young(self.logs[0]["step"], *ALIKE_UNTIL):
            yield Finding(
                "mode collapse",
                "error",
                f"generated images differ from each other {ratios[-1]:.0%} as much as real ones do",
                f"{self._penalty_advice()}, lower lr (now {self.recipe.lr:g}), or set loss=relativistic",
                self._penalty_key(),
            )

    def _balance(self) -> Iterator[Finding]:
        real, fake = self._recent("real_sign"), self._recent("fake_sign")
        gap = [r - f for r, f in zip(self._recent("real_logit"), self._recent("fake_logit"), strict=True)]
        probabilistic = self._setting("loss") in ("minimax", "nonsaturating", "hinge", "lsgan")
        if probabilistic and real and min(real) > 0.98 and max(fake) < -0.98:
            yield Finding(
                "strong discriminator",
                "warning",
                f"D tells {(1 + real[-1]) / 2:.1%} of the real and {(1 - fake[-1]) / 2:.1%} of the generated images",
                "Lower d_lr" + self._if_bounded(", add or raise penalty=r1 (gamma), or add dropout"),
                "d_lr",
            )
        if gap and max(gap) <= 0:
            yield Finding(
                "weak discriminator",
                "warning",
                f"D scores generated images above real ones by {-gap[-1]:.3g}",
                "Raise d_lr" + self._if_bounded(" or d_steps, or lower dropout and gamma"),
                "d_steps" if self._bounded else "d_lr",
            )

    def _overfitting(self) -> Iterator[Finding]:
        """r_v of Karras et al. 2020 (arXiv:2006.06676, eq. 1): 0 as on unseen images, 1 as on generated ones."""
        ratios = []
        for log in self.logs:
            s = log["statistics"]
            if "heldout_logit" in s and s["train_logit"] - s["fake_logit"] > 0.1:
                ratios.append((s["train_logit"] - s["heldout_logit"]) / (s["train_logit"] - s["fake_logit"]))
        if len(ratios) == PATIENCE and min(ratios) > 0.5:
            yield Finding(
                "overfitting",
                "warning",
                f"D treats held-out real images {ratios[-1]:.0%} like generated ones",
                "Add augment=translation,cutout (mirror and color where they suit), raise gamma, or find more data"
                if self._bounded
                else "Raise load_size= above size=, set mirror=true where it suits, or find more data",
                "augment" if self._bounded else "load_size",
            )

    def _reciting(self) -> Iterator[Finding]:
        """A model of text to which what was held out grows less likely, while what it trains on grows more so."""
        seen, unseen = self._recent("train_nll"), self._recent("heldout_nll")
        if unseen:
            self.best_heldout = min(self.best_heldout, statistics.median(unseen))
        worse = max(
            1.1 * self.best_heldout, self.best_heldout + 0.05
        )  # of almost nothing, a tenth is nothing
        if unseen and min(unseen) > worse and min(unseen) > 1.2 * max(seen):
            yield Finding(
                "overfitting",
                "warning",
                f"held-out text costs {unseen[-1]:.2f} nats, {self.best_heldout:.2f} at its best, "
                f"and training text {seen[-1]:.2f}",
                "Stop here, raise dropout, choose a smaller size, or find more text",
                "dropout",
            )

    def _missing_classes(self, classes: dict[str, float]) -> Iterator[Finding]:
        missing = [name for name, share in classes.items() if share < 0.1 / len(classes)]
        largest = max(classes, key=lambda name: classes[name], default="")
        if len(self.distances) >= 2 and classes and (missing or classes[largest] > 0.5 + 0.5 / len(classes)):
            what = f"hardly any of {', '.join(missing)}" if missing else "all classes"
            yield Finding(
                "missing classes",
                "error" if len(missing) > len(classes) / 2 else "warning",
                f"{classes[largest]:.0%} of the samples look like {largest}, {what}",
                f"Mode collapse: {self._penalty_advice()}, or lower lr (now {self.recipe.lr:g})",
                self._penalty_key(),
            )

    def _stalled(self, floor: float, name: str) -> Iterator[Finding]:
        if len(self.distances) < 6:
            return
        best_step, best = min(self.distances, key=lambda pair: pair[1])
        recent = [value for _, value in self.distances[-3:]]
        behind = sum(step > best_step for step, _ in self.distances)
        if behind >= 5 and min(recent) > 1.3 * best and best > 2 * floor:
            yield Finding(
                "stalled score",
                "warning",
                f"the {name} was best at step {best_step} ({best:.3g}) and is {recent[-1]:.3g} now",
                "Let the learning rate fall (schedule=cosine), or stop here and keep the earlier checkpoint",
                "schedule",
            )

    @property
    def _bounded(self) -> bool:
        """Whether D's slope can be bounded by a penalty: not in recipes for translators."""
        return self._setting("penalty") is not None

    def _if_bounded(self, advice: str) -> str:
        return advice if self._bounded else ""

    def _penalty_key(self) -> str:
        if not self._bounded:
            return "d_lr"
        return "penalty" if self._setting("penalty") == "none" else "gamma"

    def _penalty_advice(self) -> str:
        if not self._bounded:
            return "Lower d_lr"
        if self._setting("penalty") == "none":
            return "Add penalty=r1"
        return f"Raise gamma (now {self._setting('gamma'):g})"

    def _recent(self, name: str) -> list[float]:
        values = [log["statistics"].get(name) for log in self.logs]
        return [] if any(v is None for v in values) else values

    def _setting(self, key: str) -> Any:
        return getattr(self.recipe, key, None)
