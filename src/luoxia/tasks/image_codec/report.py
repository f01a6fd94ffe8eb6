"""What the report of a codec shows."""

from __future__ import annotations

from luoxia.media.image.page import viewer
from luoxia.runs.report_source import RunRecord


def reconstructions(record: RunRecord) -> str:
    """The same held-out images, each beside what it becomes, over time."""
    return viewer(
        record, "The images are held-out ones and stay the same: the original, then what it becomes."
    )
