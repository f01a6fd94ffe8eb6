"""Measuring, as a verb: samples of a model, asked for as its images are described, against these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from luoxia.core.order import holdout_split
from luoxia.media.image.scores import ImageMeasurement
from luoxia.runs.display import Display
from luoxia.tasks.image_synthesis.conditions import ConditionData
from luoxia.tasks.image_synthesis.scores import Judged, Predicts
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
    model = load_model(record, device=device)
    n = chosen.n or config.score_samples
    if chosen.data is not None:
        config = config.model_copy(update={"data": chosen.data})
    data = record.task.open(config, Display(quiet))
    train, heldout = np.arange(len(data)), np.arange(0)
    if chosen.data is None:
        train, heldout = holdout_split(len(data), config.holdout, config.seed)
        check_unchanged(run, data)
    seed = config.seed + 1 if chosen.seed is None else chosen.seed
    extractor = chosen.extractor or (config.extractor if config.extractor != "none" else "self")
    reference = make_reference(
        extractor, data, train, heldout, seed=seed, limit=max(n, 10_000), device=device
    )
    conditions = ConditionData(model.spec, data, config.seed, model.reader)
    judged = Judged(model, data, conditions, train, heldout, seed, n)
    measurement = judged.measure(reference)
    if isinstance(model.generator, Predicts) and len(heldout):
        predicted = model.generator.predict(data, train, heldout, conditions.whole)
        measurement = replace(measurement, scores=[*predicted, *measurement.scores])
    if chosen.data is None:
        write_neighbor_grid(run, judged.samples, reference.real, measurement)
        keep_scores(record, measurement.scores)
    return measurement
