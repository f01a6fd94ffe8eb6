"""What goes wrong in models that draw images under conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from luoxia.tasks.shared.rules import Overfitting
from luoxia.training.doctor import Finding, Rule

UNGUIDED = "copy rate without guidance"
MORE = 0.1
"""Share of samples that must be copies through guidance alone."""


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


class GuidanceCopies(Rule):
    """Guidance leads samples to single training images: unique captions are learned by heart, and it amplifies that.

    (Somepalli et al. 2023, arXiv:2305.20086; Wen et al. 2024, arXiv:2407.21720.)
    """

    def judge_result(self, values: Mapping[str, float]) -> Iterator[Finding]:
        """By the copy rates with guidance and without."""
        guided, free = values.get("copy rate"), values.get(UNGUIDED)
        if guided is not None and free is not None and guided > max(free + MORE, 2 * free):
            yield Finding(
                "guidance that copies",
                "warning",
                f"{guided:.0%} of the samples are as close to a training image as a copy, {free:.0%} without guidance",
                f"Lower guidance (now {self.recipe.guidance:g}), or let it end earlier with guidance_high=0.7; more "
                "captions an image help, too",
                "guidance",
            )
