"""Measuring, as a verb: samples of a model against the images that it learned from, or others."""

from __future__ import annotations

from typing import Any

from luoxia.media.image.scores import ImageMeasurement, measure_samples
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.image_keys import ImageMeasureSettings
from luoxia.tasks.shared.image_measuring import Measured


def measure(record: ModelRecord, /, *, quiet: bool = False, **settings: Any) -> ImageMeasurement:
    """Score a run; ``settings`` are those of ``ImageMeasureSettings``."""
    measured = Measured.open(record, ImageMeasureSettings.from_settings(settings), quiet)
    samples = measured.model.sample(measured.n, seed=measured.seed)
    measurement = measure_samples(measured.reference, samples)
    measured.keep(samples, measurement)
    return measurement
