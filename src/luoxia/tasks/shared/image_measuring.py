"""What measuring a model of images begins with: its run, its data, and the real side of every score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.order import holdout_split
from luoxia.media.image.reference import Reference
from luoxia.media.image.scores import ImageMeasurement
from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.tasks.loading import load_model
from luoxia.tasks.measuring import check_unchanged, keep_scores, run_of
from luoxia.tasks.record import ModelRecord, trained_config
from luoxia.tasks.shared.image_keys import ImageMeasureSettings
from luoxia.tasks.shared.image_stage import make_reference, write_neighbor_grid
from luoxia.training.hardware import choose_device


@dataclass(frozen=True)
class Measured:
    """A model to be measured, ``n`` samples of it by ``seed``, against its run's images or those of ``data=``."""

    record: ModelRecord
    run: Run
    config: Any
    model: Any
    dataset: Any
    train: NDArray[np.int64]
    heldout: NDArray[np.int64]
    reference: Reference
    n: int
    seed: int
    others: bool
    """Whether the images are not those of the run, so that the scores are not kept in it."""

    @classmethod
    def open(cls, record: ModelRecord, chosen: ImageMeasureSettings, quiet: bool) -> Measured:
        """Load the model and its images, and embed these.

        Raises:
            UsageError: ``record`` is of no run, or the run's images have changed.
        """
        run, device = run_of(record), choose_device(chosen.device)
        config, others = trained_config(run), chosen.data is not None
        model = load_model(record, device=device)
        n = chosen.n or config.score_samples
        extractor = chosen.extractor or (config.extractor if config.extractor != "none" else "self")
        if others:
            config = config.model_copy(update={"data": chosen.data})
        dataset = record.task.open(config, Display(quiet))
        train, heldout = np.arange(len(dataset)), np.arange(0)
        if not others:
            train, heldout = holdout_split(len(dataset), config.holdout, config.seed)
            check_unchanged(run, dataset)
        seed = config.seed + 1 if chosen.seed is None else chosen.seed
        limit = max(n, 10_000)
        reference = make_reference(extractor, dataset, train, heldout, seed=seed, limit=limit, device=device)
        return cls(record, run, config, model, dataset, train, heldout, reference, n, seed, others)

    def keep(self, samples: NDArray[np.uint8], measurement: ImageMeasurement) -> None:
        """Add the scores of ``samples``, uint8 (n, h, w, c), to the run, unless they are against other images."""
        if not self.others:
            write_neighbor_grid(self.run, samples, self.reference.real, measurement)
            keep_scores(self.record, measurement.scores)
