"""What goes wrong in codecs of images."""

from __future__ import annotations

import math
from collections.abc import Iterator

from luoxia.adversarial.rules import DiscriminatorOverfitting, StrongDiscriminator
from luoxia.training.doctor import Chart, Finding, Rule

FEW = 32
"""Tokens of the data for each code, below which a book is larger than the data can fill."""
FALL = 0.5
"""Decibels that held-out images may lose while the discriminator enters."""


class DeadCodes(Rule):
    """Much of the book is never used."""

    def judge_log(self) -> Iterator[Finding]:
        """By the codes in use, over those that as many uniform draws would use."""
        use = self.chart.recent("book_use")
        if use and max(use) < 0.5:
            learned = self.recipe.quantizer == "vq"
            advice = "Set quantizer=fsq, or give fewer codes=" if learned else "Give fewer or smaller levels="
            yield Finding(
                "dead codes",
                "warning",
                f"the tokens use {use[-1]:.0%} of the codes that as many uniform draws would",
                advice,
                "quantizer" if learned else "levels",
            )


class LargeBook(Rule):
    """The data has too few tokens to fill the book."""

    def judge_log(self) -> Iterator[Finding]:
        """By the tokens of the training data for each code."""
        each = self.chart.recent("tokens_per_code")
        if each and max(each) < FEW:
            key = "codes" if self.recipe.quantizer == "vq" else "levels"
            yield Finding(
                "large book",
                "warning",
                f"the data has {each[-1]:.3g} tokens for each code, and what learns to generate them needs many more",
                f"Choose a smaller {key}=, halve factor=, or find more data",
                key,
            )


class HardEntry(Rule):
    """The discriminator's weight grows, and reconstructions get worse."""

    def __init__(self, chart: Chart) -> None:
        super().__init__(chart)
        self.best = -math.inf

    def judge_log(self) -> Iterator[Finding]:
        """By held-out PSNR below its best, once the discriminator counts."""
        likeness, entered = self.chart.recent("heldout_psnr"), self.chart.recent("entered")
        if likeness:
            self.best = max(self.best, min(likeness))
        if likeness and entered and entered[0] > 0 and max(likeness) < self.best - FALL:
            yield Finding(
                "hard entry",
                "warning",
                f"held-out images come back at {likeness[-1]:.1f} dB, {self.best:.1f} dB at their best, since the "
                f"discriminator counts {entered[-1]:.0%}",
                f"Raise ramp (now {self.recipe.ramp:,}), or lower adversarial (now {self.recipe.adversarial:g})",
                "ramp",
            )


class CodecOverfitting(Rule):
    """Training images come back ever better, held-out ones ever worse."""

    def __init__(self, chart: Chart) -> None:
        super().__init__(chart)
        self.best = -math.inf

    def judge_log(self) -> Iterator[Finding]:
        """By the PSNR of both sides."""
        seen, unseen = self.chart.recent("train_psnr"), self.chart.recent("heldout_psnr")
        if unseen:
            self.best = max(self.best, min(unseen))
        if unseen and seen and max(unseen) < self.best - FALL and min(seen) > self.best + 2:
            yield Finding(
                "overfitting",
                "warning",
                f"held-out images come back at {unseen[-1]:.1f} dB, {self.best:.1f} dB at their best, and training "
                f"images at {seen[-1]:.1f} dB",
                "Stop here, choose a smaller width=, raise shift=, or find more data",
                "width",
            )


RULES: tuple[type[Rule], ...] = (
    DeadCodes,
    LargeBook,
    HardEntry,
    CodecOverfitting,
    StrongDiscriminator,
    DiscriminatorOverfitting,
)
