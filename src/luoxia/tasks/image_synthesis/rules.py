"""What goes wrong in models that draw images under conditions."""

from __future__ import annotations

from typing import ClassVar

from luoxia.tasks.shared.rules import Overfitting


class FlowOverfitting(Overfitting):
    """The loss of a flow on held-out images rises, while that on training images falls.

    It is taken at the same images, times and noise each time, so that a small rise is one.
    """

    statistic: ClassVar[str] = "loss"
    rise: ClassVar[float] = 1.03
    least: ClassVar[float] = 0.0
    gap: ClassVar[float] = 1.15
    evidence: ClassVar[str] = (
        "the loss on held-out images is {unseen:.3f}, {best:.3f} at its best, and {seen:.3f} on training images"
    )
    advice: ClassVar[str] = "Stop here, raise dropout, choose a smaller width, or find more images"
