"""Why a file or a row cannot be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


class Unusable(Exception):  # noqa: N818 - it is a verdict on one file, not a failure of the program
    """One file cannot be used; the message says why, in a few words."""


@dataclass(frozen=True)
class Skipped:
    """A file that was meant as a sample and cannot be used, and why."""

    name: str
    reason: str


def in_words(skipped: Sequence[Skipped]) -> str:
    """Why files or rows were skipped, and which first: the three commonest reasons."""
    reasons = Counter(skip.reason for skip in skipped)
    first = {skip.reason: skip.name for skip in reversed(skipped)}
    parts = [
        f"{many:,} such as {first[reason]} ({reason})" if many > 1 else f"{first[reason]} ({reason})"
        for reason, many in reasons.most_common(3)
    ]
    more = " and others" if len(reasons) > 3 else ""
    return ", ".join(parts) + more
