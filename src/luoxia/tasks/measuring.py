"""What measuring a run shares, whatever its task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from luoxia.core.errors import UsageError
from luoxia.runs.report import write_report
from luoxia.runs.run import Run

if TYPE_CHECKING:
    from luoxia.metrics.score import Score
    from luoxia.tasks.record import ModelRecord


def run_of(record: ModelRecord) -> Run:
    """The run of a record, whose files are its own; ``UsageError`` for a model alone."""
    if record.run is None:
        raise UsageError(f"{record.path} is not a run folder (no run.json), and only runs are measured")
    record.run.refuse_links()
    return record.run


def check_unchanged(run: Run, data: Any) -> None:
    """``UsageError`` when the data of a run is not what it was."""
    if data.fingerprint != run.manifest["data"]["fingerprint"]:
        raise UsageError(
            f"the data at {data.source} has changed since {run.path} began; name it as data= to use it"
        )


def keep_scores(record: ModelRecord, scores: Sequence[Score]) -> None:
    """Add final scores to a run's records, and write its report again."""
    run = run_of(record)
    seconds = max((line.get("seconds", 0.0) for line in run.records()), default=0.0)
    records = [score.as_dict() for score in scores]
    run.append("score", record.config["step"], seconds, scores=records, final=True)
    write_report(run.path, record.task)
