"""What accumulates between two log lines, on the device, unread until then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Scalars = dict[str, Tensor]


@dataclass
class Tally:
    """Losses and gradient norms of each update, the objective's statistics, and where the time went."""

    losses: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)
    gradients: dict[str, list[Tensor]] = field(default_factory=dict)
    statistics: dict[str, list[Tensor]] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    seen: int = 0
    data_seconds: float = 0.0
    """Waiting for batches."""
    maintenance_seconds: float = 0.0
    """Logs, samples, scores and checkpoints between two steps."""
    flops: float = 0.0
    """Floating-point operations of this process's updates; 0 where they are not counted."""
    _last: Scalars = field(default_factory=dict)  # the statistics that were taken in last
    _fresh: set[str] = field(default_factory=set)

    def add(self, phase: str, losses: Scalars, norm: Tensor) -> None:
        """One update."""
        named = self.losses.setdefault(phase, {})
        for name, value in losses.items():
            named.setdefault(name, []).append(value)
        self.gradients.setdefault(phase, []).append(norm)

    def observe(self, statistics: Scalars, *, ends_step: bool = False) -> None:
        """Those that are new since the last call; at the end of a step also those that no part of it renewed."""
        for name, value in statistics.items():
            if value is not self._last.get(name) or (ends_step and name not in self._fresh):
                self.statistics.setdefault(name, []).append(value)
                self._last[name] = value
                self._fresh.add(name)
        if ends_step:
            self._fresh.clear()

    def read(self, mean: Callable[[Scalars], Scalars], phases: Iterable[str]) -> dict[str, Any]:
        """The means, one log line's content: ``mean`` takes them over all processes. Waits for the device.

        The seconds are this process's: ``step_seconds`` is the rest, so that the three add up to the time since the
        line before.
        """
        groups = {
            **{f"losses/{p}/{n}": v for p, d in self.losses.items() for n, v in d.items()},
            **{f"statistics/{n}": v for n, v in self.statistics.items()},
        }
        means = {key: torch.stack(values).float().mean() for key, values in groups.items()}
        for phase, norms in self.gradients.items():
            stacked = torch.stack(norms).float()
            means[f"gradients/{phase}"] = stacked.nanmean()
            means[f"skipped/{phase}"] = (~stacked.isfinite()).float().mean()
        values = {key: value.item() for key, value in mean(means).items()}
        elapsed = time.perf_counter() - self.started
        step_seconds = max(elapsed - self.data_seconds - self.maintenance_seconds, 0.0)
        return {
            "rate": round(self.seen / max(elapsed, 1e-9), 1),
            "data_seconds": round(self.data_seconds, 6),
            "step_seconds": round(step_seconds, 6),
            "maintenance_seconds": round(self.maintenance_seconds, 6),
            "losses": {
                p: {n: values[f"losses/{p}/{n}"] for n in self.losses[p]} for p in phases if p in self.losses
            },
            "gradients": {p: values[f"gradients/{p}"] for p in self.gradients},
            "skipped": max((values[f"skipped/{p}"] for p in self.gradients), default=0.0),
            "statistics": {n: values[f"statistics/{n}"] for n in self.statistics},
        }
