"""What a person sees while a run goes: a bar with rate, time left, losses, and the doctor's word."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from luoxia.core.streams import patient


class Display:
    """Speaks on standard error, in a notebook below the cell; silent where ``quiet``.

    A bar in a terminal and in a notebook that has ipywidgets, a line for each log line elsewhere.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._unit = "samples"
        self.console = Console(file=patient(sys.stderr), stderr=True, quiet=quiet, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._goal: tuple[int | None, float | None] = (1, None)

    def tell(self, sentence: str) -> None:
        """One line above the bar."""
        self.console.print(sentence, markup=False, soft_wrap=True)

    def progress(self, what: str) -> Callable[[int, int], None]:
        """What tells of work on the data set, once a tenth: "decoding images: 40 of 400"."""

        def tell(done: int, total: int) -> None:
            if done == total or done * 10 // total != (done - 1) * 10 // total:
                self.tell(f"{what}: {done:,} of {total:,}")

        return tell

    @contextlib.contextmanager
    def training(
        self, steps: int | None, budget: float | None, done: int, unit: str = "samples"
    ) -> Iterator[None]:
        """Show the bar while training runs; ``unit`` is what the rate counts."""
        self._goal, self._unit = (steps, budget), unit
        if not self._animated():
            yield
            return
        columns = (BarColumn(bar_width=10), TextColumn("{task.fields[status]}"))  # 80 columns hold both
        with (
            Progress(
                *columns,
                console=self.console,
                auto_refresh=not self.console.is_jupyter,  # a thread would draw other output of the cell into the bar
                redirect_stdout=False,
                redirect_stderr=False,
            ) as self._bar
        ):
            self._task = self._bar.add_task("training", total=1.0, status=f"step {done:,}")
            try:
                yield
            finally:
                self._bar = None

    def _animated(self) -> bool:
        if self.console.quiet:
            return False
        if self.console.is_jupyter:
            return find_spec("ipywidgets") is not None
        return self.console.is_terminal

    def log(self, record: dict[str, Any]) -> None:
        """Show a log line."""
        steps, budget = self._goal
        by_steps = record["step"] / steps if steps else 0.0
        share = min(1.0, max(by_steps, record["seconds"] / budget if budget else 0.0))
        left = record["seconds"] * (1 - share) / share if share > 0 else float("nan")
        losses = "  ".join(f"{phase} {sum(parts.values()):.3g}" for phase, parts in record["losses"].items())
        status = (
            f"step {record['step']:,}  {record['rate']:,.0f} {self._unit}/s  {clock(left)} left  "
            f"{losses}  {costs(record)}"
        ).rstrip()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=share, status=status, refresh=True)
        else:
            self.tell(f"{share:4.0%}  {status}")


def costs(record: Mapping[str, Any]) -> str:
    """Where time and memory of a log line went, as in "data 3%  maintenance 12%  1.4 GiB  41% of peak FLOPs".

    >>> costs({"data_seconds": 0.3, "step_seconds": 8.5, "maintenance_seconds": 1.2, "memory_bytes": 3 * 2**29})
    'data 3%  maintenance 12%  1.5 GiB'
    """
    seconds = {name: record.get(f"{name}_seconds") or 0.0 for name in ("data", "step", "maintenance")}
    total = sum(seconds.values())
    parts = [f"{name} {seconds[name] / total:.0%}" for name in ("data", "maintenance") if total > 0]
    if memory := record.get("memory_bytes"):
        parts.append(f"{memory / 2**30:.1f} GiB")
    if share := record.get("flops_share"):
        parts.append(f"{share:.0%} of peak FLOPs")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Seconds → ``m:ss`` or ``h:mm:ss``."""
    if seconds != seconds:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
