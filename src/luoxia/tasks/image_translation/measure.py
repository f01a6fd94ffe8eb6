"""Measuring, as a verb: translations of images that a model was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from luoxia.core.errors import UsageError
from luoxia.media.image.scores import ImageMeasurement
from luoxia.runs.display import Display
from luoxia.tasks.image_translation.stage import evaluate, split
from luoxia.tasks.loading import load_model
from luoxia.tasks.measuring import check_unchanged, keep_scores, run_of
from luoxia.tasks.record import ModelRecord, trained_config
from luoxia.tasks.shared.image_keys import TwoSidedMeasureSettings
from luoxia.tasks.shared.image_stage import write_neighbor_grid
from luoxia.training.hardware import choose_device, choose_precision


def measure(record: ModelRecord, /, *, quiet: bool = False, **settings: Any) -> ImageMeasurement:
    """Score a run; ``settings`` are those of ``TwoSidedMeasureSettings``."""
    chosen: TwoSidedMeasureSettings = TwoSidedMeasureSettings.from_settings(settings)
    run, device = run_of(record), choose_device(chosen.device)
    config = trained_config(run)
    if (chosen.data is None) != (chosen.against is None):
        raise UsageError(
            f"{record.path} translates between two sides: give data=IMAGES_OF_A against=IMAGES_OF_B, or neither"
        )
    if chosen.data is not None:
        config = config.model_copy(update={"data": chosen.data, "against": chosen.against})
    dataset = record.task.open(config, Display(quiet))
    sides = {side: dataset.centered(side) for side in "ab"}
    splits = {side: split(images, config) for side, images in sides.items()}
    if chosen.data is None:
        check_unchanged(run, dataset)
    else:
        splits = {side: (np.arange(len(images)), np.arange(0)) for side, images in sides.items()}
    dtype = choose_precision(config.precision, device)  # that of training
    translator = load_model(record, device=device, dtype=dtype)
    seed = config.seed + 1 if chosen.seed is None else chosen.seed
    extractor = chosen.extractor or (config.extractor if config.extractor != "none" else "self")
    measurement, translations, real = evaluate(
        translator, sides, splits, {}, config, seed=seed, extractor=extractor, n=chosen.n
    )
    if chosen.data is None:
        write_neighbor_grid(run, translations, real, measurement)
        keep_scores(record, measurement.scores)
    return measurement
