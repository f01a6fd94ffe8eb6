"""How far training is: everything that resuming needs besides tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass
class Progress:
    """Steps, time, roll-backs, and what was seen: images, rows or tokens, over all processes."""

    step: int = 0
    seconds: float = 0.0  # set by the loop, whose log, samples and scores count too
    rollbacks: int = 0
    lr_scale: float = 1.0
    seen: int = 0
    averaged: int = 0  # how much had been seen when the averages last moved
    nominal: bool = False  # seen is batch × accumulate × processes a step

    def as_state(self) -> dict[str, Any]:
        """For a checkpoint's state.json."""
        counts = {} if self.nominal else {"seen": self.seen, "averaged": self.averaged}
        return {"seconds": self.seconds, "rollbacks": self.rollbacks, "lr_scale": self.lr_scale, **counts}

    @classmethod
    def recalled(cls, step: int, state: Mapping[str, Any], *, per_step: int, every: int) -> Self:
        """Of a checkpoint.

        One without counts is of a run that was begun before anything was counted: it takes ``per_step`` for what a step
        sees, and averages that move with ``every`` so many steps, from there on too, so that it continues bit for bit.
        """
        progress = cls(step, state["seconds"], state["rollbacks"], state["lr_scale"])
        if "seen" in state:
            progress.seen, progress.averaged = state["seen"], state["averaged"]
        else:
            progress.nominal = True
            progress.seen, progress.averaged = step * per_step, step // every * every * per_step
        return progress
