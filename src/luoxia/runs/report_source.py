"""What a report reads from a run folder, whatever is missing or broken in it."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from luoxia import registry
from luoxia.core.regular import text_of
from luoxia.runs.reported import Reported, Unknown

Line = dict[str, Any]
"""A line of metrics.jsonl. ``at`` is its step, counted on from stage to stage."""
T = TypeVar("T")
MOST_STEPS = 2**63
"""No training has more steps; a line that names more is nobody's log."""


class Sample(NamedTuple):
    """A file in samples/: the stage and the step that it is of."""

    stage: str
    step: int
    file: Path


@dataclass(frozen=True)
class RunRecord:
    """The readable content of a run folder; what could not be read is empty, never an error."""

    folder: Path
    facts: Line  # run.json
    logs: list[Line]
    scores: list[Line]
    findings: list[Line]
    events: list[Line]
    task: Reported
    stages: list[str]  # in the order in which they were trained
    samples: list[Sample]  # in the order in which they were made
    skipped: list[str]  # one line a file of the data set that could not be used
    unreadable: int  # complete lines of metrics.jsonl that are no JSON object with a step
    abandoned: int  # log lines that a rollback or a resume has replaced

    @property
    def name(self) -> str:
        """The folder's name, which is the run's."""
        return self.folder.resolve().name

    @property
    def unit(self) -> str:
        """What is counted as seen in training."""
        unit = self.facts.get("unit") or mapping(self.facts.get("data")).get("unit")
        return str(unit or self.task.unit)

    @property
    def last_step(self) -> float:
        """The step of the newest line, 0 when there is none."""
        return max((line["step"] for line in (*self.logs, *self.scores, *self.events)), default=0.0)

    @property
    def end(self) -> float:
        """The newest line's place on the time axis: its step, counted on from stage to stage."""
        return max((line["at"] for line in (*self.logs, *self.scores, *self.events)), default=0.0)

    @property
    def seams(self) -> list[tuple[float, str]]:
        """Where each stage but the first begins: (its place on the time axis, its name)."""
        begun = {
            line["stage"]: line["at"] - line["step"] for line in (*self.logs, *self.scores, *self.events)
        }
        return [(begun[stage], stage) for stage in self.stages[1:] if stage in begun]

    def step_of(self, line: Line) -> str:
        """ "step 500", and of which stage where there are several."""
        stage = f" of {line['stage']}" if len(self.stages) > 1 else ""
        return f"step {line['step']:,.0f}{stage}"

    @property
    def seconds(self) -> float:
        """Seconds of training so far, NaN where no line has them."""
        known = [number(line.get("seconds")) for line in (*self.logs, *self.scores, *self.events)]
        return max((value for value in known if math.isfinite(value)), default=math.nan)


def read_run(folder: Path, task: Reported | None = None) -> RunRecord:
    """Read ``folder`` as far as it can be read; ``task`` is looked up where it is not given."""
    facts = mapping(_parse(_text_of(folder / "run.json")))
    lines, unreadable = _read_lines(folder / "metrics.jsonl")
    stages = _lay_out(lines)
    logs = [line for line in lines if line.get("kind") == "log"]
    current = current_branch(logs)
    return RunRecord(
        folder=folder,
        facts=facts,
        task=task or registry.task_of_run(facts) or Unknown(),
        stages=stages,
        logs=current,
        scores=current_branch(line for line in lines if line.get("kind") == "score"),
        findings=[line for line in lines if line.get("kind") == "finding"],
        events=[line for line in lines if line.get("kind") == "event"],
        samples=_samples(folder / "samples", stages),
        skipped=[line for line in _text_of(folder / "skipped.txt").splitlines() if line.strip()],
        unreadable=unreadable,
        abandoned=len(logs) - len(current),
    )


def _lay_out(lines: list[Line]) -> list[str]:
    """Give each line its stage and its place on the time axis; the stages, in order.

    A line of an older version names no stage: it is of the only one.
    """
    stages = list(dict.fromkeys(str(line["stage"]) for line in lines if line.get("stage"))) or [""]
    last = dict.fromkeys(stages, 0.0)
    for line in lines:
        line["stage"] = str(line.get("stage") or stages[0])
        last[line["stage"]] = max(last[line["stage"]], line["step"])
    begun = dict(zip(stages, accumulate([0.0, *last.values()]), strict=False))
    for line in lines:
        line["at"] = begun[line["stage"]] + line["step"]
    return stages


def spaced(values: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of ``values``, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def current_branch(lines: Iterable[Line]) -> list[Line]:
    """Drop the lines that were written before a rollback or a resume went back behind their step.

    A step may be measured more than once, with several extractors: such scores stand side by side. Steps count from 0
    in every stage.
    """
    kept: list[Line] = []
    for line in lines:
        while kept and _is_replaced(kept[-1], line):
            kept.pop()
        kept.append(line)
    return kept


def _is_replaced(old: Line, new: Line) -> bool:
    if old.get("stage") != new.get("stage"):
        return False
    return bool(old["step"] > new["step"] or (old["step"] == new["step"] and new.get("kind") != "score"))


def mapping(value: object) -> Line:
    """``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """``value`` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def number(value: object) -> float:
    """``value`` as a float; NaN if it is not a number."""
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
    """The JSON objects with a step in ``path``, and how many complete lines are none."""
    lines: list[Line] = []
    unreadable = 0
    for raw in _text_of(path).split("\n"):
        line = mapping(_parse(raw))
        step = number(line.get("step"))
        known = abs(step) < MOST_STEPS  # of NaN: no
        if known:
            lines.append({**line, "step": step})
        elif raw.strip():
            unreadable += 1
    # A last line without its newline is one that the trainer is still writing.
    writing = bool(raw.strip()) and not known
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


def _samples(folder: Path, stages: list[str]) -> list[Sample]:
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return []
    found = []
    for file in files:
        if match := re.fullmatch(r"(?:(.+)_)?step_(\d+)\.[^.]+", file.name):
            found.append(Sample(match[1] or stages[-1], int(match[2]), file))
    order = {stage: place for place, stage in enumerate(stages)}
    return sorted(found, key=lambda sample: (order.get(sample.stage, -1), sample.step))
