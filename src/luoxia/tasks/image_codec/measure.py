"""Measuring, as a verb: a codec on images that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from luoxia.core.errors import UsageError
from luoxia.core.order import holdout_split
from luoxia.media.image.extractors.base import open_extractor
from luoxia.metrics.score import Measurement
from luoxia.runs.display import Display
from luoxia.tasks.image_codec.scores import CodecScores
from luoxia.tasks.image_codec.settings import CodecMeasureSettings
from luoxia.tasks.loading import load_model
from luoxia.tasks.measuring import check_unchanged, keep_scores, run_of
from luoxia.tasks.record import ModelRecord, trained_config
from luoxia.training.hardware import choose_device


def measure(record: ModelRecord, /, *, quiet: bool = False, **settings: Any) -> Measurement:
    """Score a run; ``settings`` are those of ``CodecMeasureSettings``."""
    chosen: CodecMeasureSettings = CodecMeasureSettings.from_settings(settings)
    run, device = run_of(record), choose_device(chosen.device)
    config = trained_config(run)
    codec = load_model(record, device=device)
    dataset = record.task.open(config, Display(quiet))
    train, unseen = holdout_split(len(dataset), config.holdout, config.seed)
    if chosen.data is None:
        check_unchanged(run, dataset)
    unseen = unseen if len(unseen) > 1 else train
    others = dataset
    if chosen.data is not None:
        others = record.task.open(config.model_copy(update={"data": chosen.data}), Display(quiet))
        unseen = np.arange(len(others))
    extractor = chosen.extractor or (config.extractor if config.extractor != "none" else "self")
    if extractor == "effnet-lite0" and config.perceptual == "effnet":
        raise UsageError(
            "extractor=effnet-lite0 cannot judge what perceptual=effnet has trained: choose another"
        )
    opened = open_extractor(
        extractor, dataset.images, dataset.labels, fingerprint=dataset.fingerprint, device=device
    )
    seed = config.seed + 1 if chosen.seed is None else chosen.seed
    scores = CodecScores(
        (dataset.images, train),
        (others.images, unseen),
        extractor=opened,
        seed=seed,
        most=chosen.n or config.score_samples,
    )
    measured = Measurement(scores.of(codec))
    if chosen.data is None:
        keep_scores(record, measured.scores)
    return measured
