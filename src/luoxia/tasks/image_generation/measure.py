"""Measuring, as a verb: samples of a model against the images that it learned from, or others."""

from __future__ import annotations

from typing import Any

import numpy as np

from luoxia.core.order import holdout_split
from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.runs.display import Display
from luoxia.tasks.loading import load_model
from luoxia.tasks.measuring import check_unchanged, keep_scores, run_of
from luoxia.tasks.record import ModelRecord, trained_config
from luoxia.tasks.shared.image_keys import ImageMeasureSettings
from luoxia.tasks.shared.image_stage import make_reference, write_neighbor_grid
from luoxia.training.hardware import choose_device


def measure(record: ModelRecord, /, *, quiet: bool = False, **settings: Any) -> ImageMeasurement:
    """Score a run; ``settings`` are those of ``ImageMeasureSettings``."""
    chosen: ImageMeasureSettings = ImageMeasureSettings.from_settings(settings)
    run, device = run_of(record), choose_device(chosen.device)
    config = trained_config(run)
    generator = load_model(record, device=device)
    n = chosen.n or config.score_samples
    extractor = chosen.extractor or (config.extractor if config.extractor != "none" else "self")
    if chosen.data is not None:
        config = config.model_copy(update={"data": chosen.data})
    dataset = record.task.open(config, Display(quiet))
    train, heldout = np.arange(len(dataset)), np.arange(0)
    if chosen.data is None:
        train, heldout = holdout_split(len(dataset), config.holdout, config.seed)
        check_unchanged(run, dataset)
    seed = config.seed + 1 if chosen.seed is None else chosen.seed
    reference = make_reference(
        extractor, dataset, train, heldout, seed=seed, limit=max(n, 10_000), device=device
    )
    fakes = generator.sample(n, seed=seed)
    measurement = measure_samples(reference, fakes)
    if chosen.data is None:
        write_neighbor_grid(run, fakes, reference.real, measurement)
        keep_scores(record, measurement.scores)
    return measurement
