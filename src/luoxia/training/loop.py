"""The training loop: steps, and between them the log, the doctor, samples, scores and checkpoints."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from luoxia.core.errors import LuoxiaError
from luoxia.runs.run import Run
from luoxia.training.doctor import Doctor, Finding, Watched
from luoxia.training.objective import BatchLike, Rng, hashed
from luoxia.training.recipe import Recipe
from luoxia.training.stopping import SignalHandler, StopRequested
from luoxia.training.tally import Tally
from luoxia.training.trainer import Trainer


@dataclass
class QuickScore:
    """What the doctor reads between two steps: records for the log, and the distance it watches."""

    records: list[dict[str, Any]]
    distance: float
    reference: float
    classes: dict[str, float]
    name: str = "Fréchet distance"

    def of(self, part: int, whole: int) -> QuickScore:
        """The same, signed as a score of so many rows of those that the final one takes, where these are fewer."""
        if part < whole:
            for record in self.records:
                record["signature"]["rows"] = f"{part:,} of {whole:,}, spread evenly"
        return self

    @property
    def watched(self) -> dict[str, Any]:
        """What the doctor watches, for the log, so that a resumed run's doctor knows it."""
        return {"distance": self.distance, "reference": self.reference, "name": self.name}


@dataclass
class Hooks:
    """What happens beside training; each changes no training state, and runs in the main process only."""

    observe: Callable[[Rng], tuple[BatchLike, BatchLike | None]]
    """A batch of training and one of held-out data."""
    sample: Callable[[int], None]
    score: Callable[[int], QuickScore | None]
    export: Callable[[int], None]
    show: Callable[[dict[str, Any]], None]
    """A log line, for the progress display."""
    tell: Callable[[str], None]
    """A sentence for the user."""


class Loop:
    """Runs a trainer to its end, its budget, or a signal."""

    def __init__(
        self, trainer: Trainer, recipe: Recipe, run: Run, doctor: Doctor, hooks: Hooks, signals: SignalHandler
    ) -> None:
        self.trainer = trainer
        self.recipe = recipe
        self.run = run
        self.doctor = doctor
        self.hooks = hooks
        self.signals = signals
        self.main = trainer.world.main
        self._began = time.perf_counter()
        self._before = trainer.progress.seconds
        self._write_failed = False

    @property
    def step(self) -> int:
        """Steps done."""
        return self.trainer.progress.step

    def go(self) -> bool:
        """Train; True when the end or the budget was reached, False when a signal came first."""
        if self.step == 0:
            self._checkpoint()  # what a roll-back returns to
        self.trainer.flops.count(self.trainer)
        stopped = False
        self.trainer.tally = Tally()  # its clock starts now
        while not self.finished():
            self.trainer.step()
            self._clock()
            with contextlib.suppress(StopRequested):
                self._after_step()
            if self.trainer.world.any(self.signals.signal is not None):
                stopped = not self.finished()
                break
        if self.trainer.world.any(not self.trainer.is_finite()):
            self._roll_back("the weights are no longer finite")
        self._checkpoint()
        with contextlib.suppress(StopRequested):
            self._sample()
        return not stopped

    def finished(self) -> bool:
        """Whether steps or budget are used up; the same answer in every process."""
        over = self.recipe.budget is not None and self.trainer.progress.seconds >= self.recipe.budget
        return over or (self.recipe.steps is not None and self.step >= self.recipe.steps)

    def _clock(self) -> None:
        """Training time counts everything in the loop; the main process's watch is everybody's."""
        elapsed = self._before + time.perf_counter() - self._began
        self.trainer.progress.seconds = self.trainer.world.broadcast(elapsed)

    def _after_step(self) -> None:
        if (self._due(self.recipe.log_every) or self.finished()) and not self._log():
            self._checkpoint()  # the roll-back itself
            return
        for every, work in (
            (self.recipe.checkpoint_every, self._checkpoint),
            (self.recipe.sample_every, self._sample),
            (self.recipe.score_every, self._score),
        ):
            if self._due(every):
                with self._maintenance():
                    work()

    def _due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0 and not self.finished()

    def _log(self) -> bool:
        """Write a log line and ask the doctor; False when training had to be rolled back instead."""
        log = self.trainer.read_tally()
        with self._maintenance():
            rng = Rng(hashed(self.recipe.seed, "observe", self.step), self.trainer.world.device)
            train, heldout = self.hooks.observe(rng)
            with self.trainer.as_written():
                observed = self.trainer.objective.observe(train, heldout, rng)
            log["statistics"] |= {k: v.item() for k, v in self.trainer.world.mean(observed).items()}
            broken = log["skipped"] > 0.5 or not self.trainer.is_finite()
        if self.trainer.world.any(broken):  # buffers differ between processes: all go back, or none
            self._roll_back("the gradients or weights are no longer finite")
            return False
        if self.main:
            with self._maintenance():
                with self._beside():
                    self.run.append("log", self.step, self.trainer.progress.seconds, **log)
                self.hooks.show({"step": self.step, "seconds": self.trainer.progress.seconds, **log})
                self._report(self.doctor.observe_log(self.step, log))
        return True

    def _roll_back(self, reason: str) -> None:
        failed_at = self.step
        sentence = self.trainer.world.run_collectively(lambda: self.trainer.roll_back(reason))
        self._before, self._began = self.trainer.progress.seconds, time.perf_counter()
        if self.main:
            with self._beside():
                self.run.append(
                    "event", failed_at, self.trainer.progress.seconds, event="rolled back", detail=sentence
                )
            self.hooks.tell(sentence)

    def _checkpoint(self) -> None:
        trainer = self.trainer
        if not trainer.world.any(not trainer.is_finite()):
            trainer.save()
            trainer.gather()
            if self.main:
                self.hooks.export(self.step)
                with self._beside():
                    self.run.append(
                        "event", self.step, trainer.progress.seconds, event="checkpoint", detail=""
                    )
        trainer.world.barrier()

    def _sample(self) -> None:
        self.trainer.gather()
        if self.main:
            with self.signals.interruptible(), self._beside():
                self.hooks.sample(self.step)

    def _score(self) -> None:
        self.trainer.gather()
        if not self.main:
            return
        with self.signals.interruptible(), self.trainer.as_written():
            score = self.hooks.score(self.step)
        if score is not None:
            seconds = self.trainer.progress.seconds
            with self._beside():
                self.run.append(
                    "score", self.step, seconds, scores=score.records, final=False, watched=score.watched
                )
            self._report(
                self.doctor.observe_score(Watched(self.step, classes=score.classes, **score.watched))
            )

    @contextlib.contextmanager
    def _maintenance(self) -> Iterator[None]:
        """Work between two steps, which the next log line counts as ``maintenance_seconds``."""
        device = self.trainer.world.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # steps that the device has not finished are none of it
        began = time.perf_counter()
        try:
            yield
        finally:
            self.trainer.tally.maintenance_seconds += time.perf_counter() - began

    @contextlib.contextmanager
    def _beside(self) -> Iterator[None]:
        """A file that training itself does not need: one warning if it cannot be written; training continues."""
        try:
            yield
        except LuoxiaError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            if not self._write_failed:
                self._write_failed = True
                self.hooks.tell(f"{error}; training continues; other such files may be missing")

    def _report(self, findings: list[Finding]) -> None:
        for finding in findings:
            with self._beside():
                self.run.append("finding", self.step, self.trainer.progress.seconds, **finding.as_dict())
            self.hooks.tell(f"doctor: {finding}")


def wants_compile(setting: str, device: torch.device, steps: int | None, budget: float | None = None) -> bool:
    """``auto`` compiles on CUDA, with a C compiler at hand, when the run is long enough to repay a minute of it."""
    if setting != "auto":
        return setting == "on"
    repays = (steps is None or steps >= 5000) and (budget is None or budget >= 900)
    return (
        device.type == "cuda"
        and repays
        and any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang")))
    )
