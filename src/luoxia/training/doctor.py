"""The doctor: reads the log while training runs and names what goes wrong, with the key to change.

It knows no task. What an illness looks like is a rule's to say: those that hold for every training are in
``training/rules.py``, the others come with the task. Every rule looks at cheap statistics, asks for persistence before
it speaks, and gives its evidence in numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.runs.reported import PATIENCE, YOUNG

if TYPE_CHECKING:
    from luoxia.training.objective import Role

EARLY = 5
"""Gradient norms of each phase that are usual for it: the first so many."""


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


@dataclass(frozen=True)
class Watched:
    """A quick score that should fall: what it is judged against, its name, the share of each class in the samples."""

    step: int
    distance: float
    reference: float
    classes: Mapping[str, float] = field(default_factory=dict)
    name: str = "Fréchet distance"


class Chart:
    """What the doctor knows of a stage: the last log lines, the first gradient norms, the scores it watches."""

    def __init__(self, recipe: Any, roles: Mapping[str, Role]) -> None:
        self.recipe = recipe
        self.roles = roles
        self.logs: deque[dict[str, Any]] = deque(maxlen=PATIENCE)
        self.first_gradients: dict[str, list[float]] = {}
        self.distances: list[tuple[int, float]] = []
        self._watched = ""

    def add_log(self, step: int, log: Mapping[str, Any]) -> None:
        """Take in a log line."""
        self.logs.append({"step": step, **log})
        for phase, norm in log["gradients"].items():
            early = self.first_gradients.setdefault(phase, [])
            if len(early) < EARLY:
                early.append(norm)

    def add_score(self, score: Watched) -> None:
        """Take in a score; what was watched before under another name, as by an older version, does not compare."""
        if score.name != self._watched:
            self.distances.clear()
            self._watched = score.name
        self.distances.append((score.step, score.distance))

    @property
    def ripe(self) -> bool:
        """Whether there are enough log lines to judge by, and none of them is of the first steps."""
        return len(self.logs) == PATIENCE and self.logs[0]["step"] >= YOUNG

    def recent(self, statistic: str) -> list[float]:
        """A statistic's values in the last log lines, oldest first; [] where one of them lacks it."""
        values = [log["statistics"].get(statistic) for log in self.logs]
        return [] if any(value is None for value in values) else values

    def is_young(self, step: int, share: float, most: int) -> bool:
        """Whether a step lies in that share of the run, and in its first so many steps."""
        steps = self.recipe.steps
        return bool(step < (most if steps is None else min(share * steps, most)))


class Rule:
    """What one illness looks like. Made once for each stage of a run, so that it may remember."""

    at_once: ClassVar[bool] = False
    """Whether it judges a single log line, from the first one on."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.recipe = chart.recipe

    def judge_log(self) -> Iterator[Finding]:
        """The findings that the last log lines give."""
        yield from ()

    def judge_score(self, score: Watched) -> Iterator[Finding]:
        """The findings that the scores up to this one give."""
        yield from ()

    def judge_result(self, values: Mapping[str, float]) -> Iterator[Finding]:
        """The findings that all final scores, by name, give once training is over."""
        yield from ()


class Doctor:
    """Shows the log lines and scores of one stage to its rules.

    A finding is made once, and again only after its evidence has gone and come back.
    """

    def __init__(
        self, recipe: Any, rules: Iterable[type[Rule]] = (), roles: Mapping[str, Role] | None = None
    ) -> None:
        """``roles``: what each phase is for; one that is not named trains the model."""
        self.chart = Chart(recipe, roles or {})
        self.rules = [rule(self.chart) for rule in rules]
        self._active: dict[str, set[str]] = {}

    def observe_log(self, step: int, log: Mapping[str, Any]) -> list[Finding]:
        """Take in one log line; the findings that are new."""
        self.chart.add_log(step, log)
        judges = [rule for rule in self.rules if self.chart.ripe or rule.at_once]
        return self._new("log", [finding for rule in judges for finding in rule.judge_log()])

    def observe_score(self, score: Watched) -> list[Finding]:
        """Take in a quick score; the findings that are new."""
        self.chart.add_score(score)
        return self._new("scores", [finding for rule in self.rules for finding in rule.judge_score(score)])

    def observe_result(self, values: Mapping[str, float]) -> list[Finding]:
        """Take in the final scores, by name; the findings."""
        return self._new("result", [finding for rule in self.rules for finding in rule.judge_result(values)])

    def _new(self, source: str, found: list[Finding]) -> list[Finding]:
        """Those that the last look at the same source did not find."""
        before = self._active.get(source, set())
        self._active[source] = {finding.name for finding in found}
        return [finding for finding in found if finding.name not in before]
