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


class PriorOverfitting(Overfitting):
    """Tokens of held-out images grow less likely, while those of training images grow more so.

    Both are of the same images in the same orders each time, so that a small rise is one.
    """

    rise: ClassVar[float] = 1.02
    gap: ClassVar[float] = 1.1
    evidence: ClassVar[str] = (
        "a token of held-out images costs {unseen:.2f} nats, {best:.2f} at its best, of training images {seen:.2f}"
    )
    advice: ClassVar[str] = "Stop here, raise dropout or views, choose a smaller width, or find more images"
