"""What the reports of tasks that make images have: grids over time, and the nearest training images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from luoxia.core.html import escape
from luoxia.media.image.page import LABEL, embed, viewer
from luoxia.runs.report_scores import history, interval
from luoxia.runs.report_sections import empty
from luoxia.runs.report_source import RunRecord
from luoxia.runs.report_words import spell


def grids(record: RunRecord) -> str:
    """Grids of the same latents over time."""
    return viewer(record, "The latents are fixed: each cell is the same point at every step.")


def translations(record: RunRecord) -> str:
    """Translations of the same images over time."""
    return viewer(record, "The images are fixed; the reverse translation is shown where the model has one.")


def neighbors(record: RunRecord) -> str:
    """Samples beside the training images nearest to them."""
    picture = embed(record.folder / "scores" / "neighbors.png", 1024, 240_000)
    if picture is None:
        return empty(f"No picture yet. Make it with <code>luoxia measure {escape(record.folder)}</code>")
    latest = [scores[-1] for name, scores in history(record).items() if name.startswith("copy rate")]
    rate = "".join(
        f" Here the score <b>{escape(s.name)}</b> is {spell(s.value, 3)}"
        f"{f' ({interval(s)})' if interval(s) != '–' else ''}"
        f"{f'; real images against real ones give {spell(s.reference, 3)}' if math.isfinite(s.reference) else ''}."
        for s in latest
    )
    image = picture.html("Generated samples, each beside the training images nearest to it")
    return (
        f"<figure>{image}<figcaption>{LABEL} beside the nearest training images.</figcaption></figure>"
        "<p>A sample that equals its neighbor in every detail was memorized, not generated. "
        f"A likeness in class and style only is what learning looks like.{rate}</p>"
    )


def shape(data: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The row of the data card with the images' shape."""
    sides = [str(data[key]) for key in ("width", "height", "channels") if data.get(key) is not None]
    return [("Width × height × channels", " × ".join(sides))]
