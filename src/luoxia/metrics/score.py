"""A score: a metric's value with all that is needed to judge and to compare it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.html import Html, escape
from luoxia.core.sentences import nearest

HEADINGS = {
    "authenticity": "Is it like the data? Likeness of what the model makes or predicts to what is real.",
    "plausibility": "Is each one a good one? Whether single samples make sense, or single answers are right.",
    "creativity": "Is it varied and its own? Whether the samples cover the data without copying it.",
}
"""What scores tell, and the question that each heading asks."""
RENAMED = {
    "memorised": "copy rate",
    "neighbour ratio": "nn distance ratio",
    "confident": "confident share",
    "tokeniser": "tokenizer",
    "tokenisation": "tokenization",
    "floor": "reference",
}
"""What scores, their fields, and keys of their signatures, were called in records of before."""


class Meaning(NamedTuple):
    """What a score tells, in one plain sentence, and which way is better: "" where neither is."""

    sentence: str = ""
    better: Literal["lower", "higher", ""] = ""


LOWER = partial(Meaning, better="lower")
HIGHER = partial(Meaning, better="higher")


class UnknownScoreError(UsageError, KeyError):
    """No score of that name was measured."""

    __str__ = Exception.__str__  # that of KeyError puts the sentence in quotes


class Scores:
    """What holds several scores: one is found by its name."""

    scores: list[Score]

    def __getitem__(self, name: str) -> Score:
        for score in self.scores:
            if score.name == name:
                return score
        known = [score.name for score in self.scores]
        raise UnknownScoreError(
            f"no score is called {name!r}{nearest(str(name), known) or '; there are ' + ', '.join(known)}"
        )

    def _repr_html_(self) -> str:
        return score_table(self.scores)


@dataclass(frozen=True)
class Score:
    """One metric's value.

    ``low`` and ``high`` bound a 95% interval, ``reference`` is what the value is judged against: the same metric real
    against real, or what the signature names (each None where there is none). ``signature`` holds what must be equal
    for two values to be comparable. ``meaning`` says what the score tells, and ``better`` which way is better.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    reference: float | None
    heading: str
    signature: Mapping[str, str | int | float] = field(default_factory=dict)
    meaning: str = ""
    better: Literal["lower", "higher", ""] = ""

    def __post_init__(self) -> None:
        if self.heading not in HEADINGS:
            raise ValueError(f"heading is {self.heading!r}, not one of {', '.join(HEADINGS)}")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; ``from_dict`` reads them back."""
        return {
            "name": self.name,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "reference": self.reference,
            "heading": self.heading,
            "signature": dict(self.signature),
            "meaning": self.meaning,
            "better": self.better,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """Read what ``as_dict`` wrote, in this version or an older one; a missing key raises LuoxiaError."""
        from luoxia.metrics.old_scores import old_meaning

        values = {RENAMED.get(key, key): value for key, value in values.items()}
        try:
            if "meaning" not in values:
                sentence, better = old_meaning(values["name"])
                values |= {"meaning": sentence, "better": better}
            given = {key: values[key] for key in cls.__dataclass_fields__}
            given["name"] = RENAMED.get(given["name"], given["name"])
            given["signature"] = {RENAMED.get(key, key): value for key, value in given["signature"].items()}
            return cls(**given)
        except KeyError as missing:
            raise LuoxiaError(
                f"this is not a score, it lacks {missing}: measure the model again"
            ) from missing

    def __str__(self) -> str:
        text = f"{self.name} {_short(self.value)}"
        if self.low is not None and self.high is not None:
            text += f" [{_short(self.low)}, {_short(self.high)}]"
        return text if self.reference is None else f"{text} (reference {_short(self.reference)})"

    def _repr_html_(self) -> str:
        return score_table([self])

    def compare(self, other: Score) -> float:
        """Return ``self.value - other.value``; unlike metrics or signatures raise LuoxiaError."""
        if self.name != other.name:
            raise LuoxiaError(f"{self.name} and {other.name} are different metrics: compare like with like")
        keys = sorted(self.signature.keys() | other.signature.keys())
        unlike = [key for key in keys if self.signature.get(key) != other.signature.get(key)]
        if unlike:
            shown = ", ".join(f"{k} ({self.signature.get(k)} and {other.signature.get(k)})" for k in unlike)
            raise LuoxiaError(
                f"two values of {self.name} differ in {shown}: measure both again with the same settings"
            )
        return self.value - other.value


@dataclass(frozen=True)
class Measurement(Scores):
    """Scores measured together."""

    scores: list[Score]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"scores": [score.as_dict() for score in self.scores]}


def score_table(scores: list[Score]) -> Html:
    """Scores as a table for a notebook."""
    rows = "".join(
        f"<tr><td>{escape(score.heading)}</td><td title='{escape(score.meaning)}'>{escape(score.name)}</td>"
        f"<td><b>{_short(score.value)}</b></td><td>{_interval(score)}</td>"
        f"<td>{'' if score.reference is None else _short(score.reference)}</td><td>{escape(score.better)}</td></tr>"
        for score in scores
    )
    heads = ("heading", "score", "value", "95% interval", "reference", "better")
    head = "".join(f"<th>{title}</th>" for title in heads)
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def _interval(score: Score) -> str:
    return "" if score.low is None or score.high is None else f"{_short(score.low)} – {_short(score.high)}"


def _short(value: float) -> str:
    """Three significant digits, without an exponent where that stays readable: 12.3, 0.90, 0.0123, 1234."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
