"""A score: a metric's value with all that is needed to judge and to compare it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.sentences import nearest

HEADINGS = ("authenticity", "plausibility", "creativity")
RENAMED = {
    "memorised": "copy rate",
    "neighbour ratio": "nn distance ratio",
    "confident": "confident share",
    "tokeniser": "tokenizer",
    "tokenisation": "tokenization",
}
"""What scores, and keys of their signatures, were called in records of before."""


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


@dataclass(frozen=True)
class Score:
    """One metric's value.

    ``low`` and ``high`` bound a 95% interval, ``floor`` is the same metric real against real (each None where
    there is none), and ``signature`` holds what must be equal for two values to be comparable.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    floor: float | None
    heading: str
    signature: Mapping[str, str | int | float] = field(default_factory=dict)

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
            "floor": self.floor,
            "heading": self.heading,
            "signature": dict(self.signature),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Score:
        """Read what ``as_dict`` wrote; a missing key raises LuoxiaError."""
        try:
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
        return text if self.floor is None else f"{text} (floor {_short(self.floor)})"

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


def _short(value: float) -> str:
    """Three significant digits, without an exponent where that stays readable: 12.3, 0.90, 0.0123, 1234."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
