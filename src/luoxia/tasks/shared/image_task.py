"""What tasks that make images share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from luoxia.adversarial.report import AIDS, FIGURES
from luoxia.adversarial.rules import RULES
from luoxia.core.names import many
from luoxia.runs.reported import Section
from luoxia.tasks.base import Task

if TYPE_CHECKING:
    from luoxia.runs.display import Display

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

    def open(self, recipe: Any, display: Display | None = None) -> Any:
        """The images that a recipe's ``data``, ``size``, ``crop`` and ``channels`` name."""
        from luoxia.media.image.images import open_images

        progress = display.progress("decoding images") if display else None
        return open_images(recipe.data, recipe.size, recipe.crop, recipe.channels, progress=progress)

    def settle(self, recipe: Any, data: Any) -> dict[str, Any]:
        """The data's size and channels, and what the recipe makes of them."""
        spec = data.spec
        shape = {"size": (spec.height, spec.width), "channels": spec.channels}
        return {**shape, **recipe.settled(spec)}

    def describe(self, data: Any) -> str:
        """Number, shape and classes."""
        spec = data.spec
        classes = f", {len(data.classes)} classes" if data.classes else ""
        shape = f"{spec.height} × {spec.width} × {spec.channels}"
        return f"{many(len(data), 'image')} of {shape}{classes}, {data.source}"

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """The images' shape."""
        from luoxia.tasks.shared.image_report import shape

        return shape(data)
