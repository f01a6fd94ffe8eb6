"""What ``luoxia inspect`` found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from luoxia.provenance.label import Label

Status = Literal["labeled", "verified", "no label", "invalid", "unreadable", "passed over"]


@dataclass(frozen=True)
class Inspected:
    """A file with its label, or why it has none that can be trusted."""

    file: str
    status: Status
    label: Label | None = None
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        record = {"file": self.file, "status": self.status, "problem": self.problem}
        return record | {"label": None if self.label is None else self.label.as_dict()}


@dataclass(frozen=True)
class Inspection:
    """What was found at a path: ``facts`` of a run or a model folder, or else ``items``, one for each file."""

    path: Path
    items: list[Inspected]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """3 where a label is invalid or a file of a checkpoint is damaged, 1 where a file cannot be read."""
        statuses = {item.status for item in self.items}
        if "invalid" in statuses:
            return 3
        return 1 if "unreadable" in statuses else 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"path": str(self.path), **self.facts, "items": [item.as_dict() for item in self.items]}
