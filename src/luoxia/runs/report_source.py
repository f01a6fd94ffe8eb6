"""What a report reads from a run folder, whatever is missing or broken in it."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luoxia.core.regular import text_of

Line = dict[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """The readable content of a run folder; what could not be read is empty, never an error."""

    folder: Path
    facts: Line  # run.json
    logs: list[Line]
    scores: list[Line]
    findings: list[Line]
    events: list[Line]
    samples: list[tuple[int, Path]]  # (step, file), in the order of the steps: grids
    texts: list[tuple[int, Path]]  # the same, of a model of text
    skipped: list[str]  # one line a file of the data set that could not be used
    unreadable: int  # complete lines of metrics.jsonl that are no JSON object with a step
    abandoned: int  # log lines that a rollback or a resume has replaced

    @property
    def name(self) -> str:
        """The folder's name, which is the run's."""
        return self.folder.resolve().name

    @property
    def is_text(self) -> bool:
        """Whether it was trained on text."""
        return "vocabulary" in mapping(self.facts.get("data"))

    @property
    def task(self) -> str:
        """ "translation", "classification" or "similarity" of texts; "" where samples are made from nothing."""
        return str(mapping(self.facts.get("data")).get("task") or "")

    @property
    def unit(self) -> str:
        """What is counted as seen in training."""
        unit = self.facts.get("unit") or mapping(self.facts.get("data")).get("unit")
        return str(unit or ("rows" if self.is_text else "images"))

    @property
    def last_step(self) -> float:
        """The step of the newest line, 0 when there is none."""
        return max((line["step"] for line in (*self.logs, *self.scores, *self.events)), default=0.0)

    @property
    def seconds(self) -> float:
        """Seconds of training so far, NaN when no line says so."""
        known = [number(line.get("seconds")) for line in (*self.logs, *self.scores, *self.events)]
        return max((value for value in known if math.isfinite(value)), default=math.nan)


def read_run(folder: Path) -> RunRecord:
    """Read ``folder`` as far as it can be read."""
    lines, unreadable = _read_lines(folder / "metrics.jsonl")
    logs = [line for line in lines if line.get("kind") == "log"]
    current = current_branch(logs)
    return RunRecord(
        folder=folder,
        facts=mapping(_parse(_text_of(folder / "run.json"))),
        logs=current,
        scores=current_branch(line for line in lines if line.get("kind") == "score"),
        findings=[line for line in lines if line.get("kind") == "finding"],
        events=[line for line in lines if line.get("kind") == "event"],
        samples=_samples(folder / "samples", "png"),
        texts=_samples(folder / "samples", "txt"),
        skipped=[line for line in _text_of(folder / "skipped.txt").splitlines() if line.strip()],
        unreadable=unreadable,
        abandoned=len(logs) - len(current),
    )


def current_branch(lines: Iterable[Line]) -> list[Line]:
    """Drop the lines that were written before a rollback or a resume went back behind their step.

    A step may be measured more than once, with several extractors: such scores stand side by side.
    """
    kept: list[Line] = []
    for line in lines:
        while kept and _is_replaced(kept[-1], line):
            kept.pop()
        kept.append(line)
    return kept


def _is_replaced(old: Line, new: Line) -> bool:
    return bool(old["step"] > new["step"] or (old["step"] == new["step"] and new.get("kind") != "score"))


def mapping(value: object) -> Line:
    """``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """``value`` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def number(value: object) -> float:
    """``value`` as a float; NaN if it is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)  # a string, because strict JSON writers spell out "NaN" and "Infinity"
    except (ValueError, OverflowError):
        return math.nan


def flatten(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The leaves of nested JSON objects as (dotted key, value) pairs."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value


def _read_lines(path: Path) -> tuple[list[Line], int]:
    """The JSON objects with a finite step in ``path``, and how many complete lines are none."""
    lines: list[Line] = []
    unreadable = 0
    for raw in _text_of(path).split("\n"):
        line = mapping(_parse(raw))
        step = number(line.get("step"))
        if math.isfinite(step):
            lines.append({**line, "step": step})
        elif raw.strip():
            unreadable += 1
    # A last line without its newline is one that the trainer is still writing.
    writing = bool(raw.strip()) and not math.isfinite(step)
    return lines, unreadable - writing


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text_of(path: Path) -> str:
    try:
        return text_of(path, "replace")
    except OSError:
        return ""


def _samples(folder: Path, ending: str) -> list[tuple[int, Path]]:
    try:
        files = [(re.fullmatch(rf"step_(\d+)\.{ending}", path.name), path) for path in folder.iterdir()]
    except OSError:
        return []
    return sorted((int(match[1]), path) for match, path in files if match)
