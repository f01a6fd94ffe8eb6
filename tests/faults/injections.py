"""Faults put into a child before it trains: functions for ``harness.Command(prepare=…)``."""

import errno
import os
from pathlib import Path


def fill_the_disk(after: int) -> None:
    """Let every flush after the first ``after`` fail as on a full disk."""
    flush, calls = os.fsync, 0

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    os.fsync = failing


def poison_batches(first: int, last: int) -> None:
    """Let the batches that are drawn as number ``first`` to ``last`` be NaN."""
    from luoxia.media.image.batches import ImageBatches

    draw, calls = ImageBatches.__call__, 0

    def poisoned(self, phase, index):
        nonlocal calls
        calls += 1
        batch = draw(self, phase, index)
        if first <= calls <= last:
            batch.samples.fill_(float("nan"))
        return batch

    ImageBatches.__call__ = poisoned


def score_without_end(marker: str) -> None:
    """Let a quick score sample on and on, and say so by a file."""
    from luoxia.tasks.image_generation.stage import GeneratorStage

    def score(self):
        Path(marker).touch()
        while True:
            self.model().sample(64)

    GeneratorStage.scored, GeneratorStage.prepare_scores = True, lambda self: None
    GeneratorStage.quick_score = score


def sample_without_end(marker: str) -> None:
    """Let a sample grid be of more images than anyone waits for, and say so by a file."""
    from luoxia.tasks.image_generation import stage as images

    preview = images.GeneratorStage.preview

    def endless(self, out):
        if not Path(marker).exists():
            images.GRID = 100_000_000
            Path(marker).touch()
        else:
            images.GRID = 64
        preview(self, out)

    images.GeneratorStage.preview = endless
