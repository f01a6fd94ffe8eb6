"""Measuring, as a verb: the answers to examples that were held out, or to others."""

from __future__ import annotations

from typing import Any

from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.settings import PairMeasureSettings
from luoxia.tasks.shared.supervised import measure_run
from luoxia.tasks.text_translation.stage import SUPERVISION


def measure(record: ModelRecord, /, *, quiet: bool = False, **settings: Any) -> Any:
    """Score a run; ``settings`` are those of ``PairMeasureSettings``."""
    return measure_run(SUPERVISION, record, settings, PairMeasureSettings)
