"""The report's section on the model that a fine-tuning began with."""

from __future__ import annotations

import math

from luoxia.runs.report_sections import pairs
from luoxia.runs.report_source import Line, RunRecord, items, mapping, number

SHOWN = 40
"""Tensors that were initialized from scratch and are named."""


def origin(record: RunRecord) -> str:
    """The run whose weights were carried over, and which were not; empty for a training from scratch."""
    base = mapping(record.facts.get("origin"))
    rows: list[tuple[str, object]] = [
        (title, base[key])
        for title, key in (("Run", "run"), ("Step", "step"), ("Path", "path"), ("Its data", "data"))
        if base.get(key) is not None
    ]
    for name, facts in mapping(base.get("networks")).items():
        rows += _network(str(name).capitalize(), mapping(facts))
    for key, title in (
        ("carried", "carried over by name"),
        ("fresh", "new"),
        ("left", "left out"),
    ):
        if names := items(mapping(base.get("classes")).get(key)):
            rows.append(
                (f"Classes {title}", ", ".join(map(str, names[:SHOWN])) + " …" * (len(names) > SHOWN))
            )
    return pairs(rows) if rows else ""


def _network(name: str, facts: Line) -> list[tuple[str, object]]:
    taken, of = number(facts.get("values")), number(facts.get("of_values"))
    share = f" ({taken / of:.1%} of the numbers)" if math.isfinite(taken) and of > 0 else ""
    fresh = [str(tensor) for tensor in items(facts.get("fresh"))]
    shown = ", ".join(fresh[:SHOWN]) + (" …" if len(fresh) > SHOWN else "")
    carried = f"{facts.get('tensors')} of {facts.get('of_tensors')} tensors carried over{share}"
    return [(name, carried), *([(f"{name}, from scratch", shown)] if fresh else [])]
