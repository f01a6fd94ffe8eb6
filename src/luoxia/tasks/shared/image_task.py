"""What tasks that make images share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from luoxia.adversarial.report import AIDS, FIGURES
from luoxia.adversarial.rules import RULES
from luoxia.runs.reported import Section
from luoxia.tasks.base import Task

REPORT = "luoxia.tasks.shared.image_report"


class ImageTask(Task):
    """A task whose samples are images."""

    output: ClassVar[str] = "image"
    unit: ClassVar[str] = "images"
    items: ClassVar[str] = "images"
    rules = RULES
    figures = FIGURES
    aids = AIDS
    key_scores: ClassVar[tuple[str, ...]] = (
        "FD", "FID", "KID", "precision", "coverage", "recall", "copy rate", "density", "cycle error",
    )  # fmt: skip
    sections: ClassVar[tuple[Section, ...]] = (
        Section("samples", "Samples", f"{REPORT}:grids"),
        Section("neighbors", "Nearest training images", f"{REPORT}:neighbors", after="doctor"),
    )

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """The images' shape."""
        from luoxia.tasks.shared.image_report import shape

        return shape(data)
