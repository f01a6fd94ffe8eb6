"""Measuring, as a verb: samples of a model, asked for as its images are described, against these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luoxia.media.image.scores import ImageMeasurement
from luoxia.tasks.image_synthesis.conditions import ConditionData
from luoxia.tasks.image_synthesis.scores import Judged, Predicts
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.image_keys import ImageMeasureSettings
from luoxia.tasks.shared.image_measuring import Measured


def measure(record: ModelRecord, /, *, quiet: bool = False, **settings: Any) -> ImageMeasurement:
    """Score a run; ``settings`` are those of ``ImageMeasureSettings``."""
    measured = Measured.open(record, ImageMeasureSettings.from_settings(settings), quiet)
    model, data, train, heldout = measured.model, measured.dataset, measured.train, measured.heldout
    conditions = ConditionData(model.spec, data, measured.config.seed, model.reader)
    judged = Judged(model, data, conditions, train, heldout, measured.seed, measured.n)
    measurement = judged.measure(measured.reference)
    if isinstance(model.generator, Predicts) and len(heldout):
        predicted = model.generator.predict(data, train, heldout, conditions.whole)
        measurement = replace(measurement, scores=[*predicted, *measurement.scores])
    measured.keep(judged.samples, measurement)
    return measurement
