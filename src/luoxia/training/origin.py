"""Which trained weights a training began with, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMED = 6
"""Tensors, or classes, that are named."""


def sentences(origin: Mapping[str, Any]) -> list[str]:
    """What run.json records as ``origin``: a sentence for each network, and one for the classes."""
    lines = [f"{name}: {_sentence(facts, origin)}" for name, facts in origin.get("networks", {}).items()]
    if classes := origin.get("classes"):
        words = {"carried": "carried over by name", "fresh": "new", "left": "left out"}
        parts = [f"{word} {_names(classes[key])}" for key, word in words.items() if classes[key]]
        lines.append(f"classes: {'; '.join(parts)}")
    return lines


def _sentence(facts: Mapping[str, Any], origin: Mapping[str, Any]) -> str:
    if facts["tensors"] == 0:
        return f"{origin['run']} has no weights for it; it is initialized from scratch"
    share = facts["values"] / facts["of_values"]
    counted = f"{facts['tensors']:,} of {facts['of_tensors']:,} tensors ({share:.1%} of the numbers)"
    step = f", step {origin['step']:,}" if origin.get("step") is not None else ""
    fresh = f"; initialized from scratch: {_names(facts['fresh'])}" if facts["fresh"] else ""
    return f"{counted} carried over from {origin['run']}{step}{fresh}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
