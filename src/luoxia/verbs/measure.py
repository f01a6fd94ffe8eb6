"""Scoring a run, or samples of any framework against others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from luoxia import registry
from luoxia.core.config import known_keys
from luoxia.core.devices import require_device
from luoxia.core.errors import UsageError
from luoxia.core.values import named_path
from luoxia.runs.run import Run
from luoxia.tasks.record import ModelRecord
from luoxia.verbs.request import open_scored, opened, require_data, using


@known_keys
def measure(
    run: str | Path | Run | None = None,
    *,
    data: Any = None,
    against: Any = None,
    extractor: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    device: Any = "auto",
    quiet: bool = False,
    use: str | None = None,
) -> Any:
    """Score a run against its data (or ``data``), or the samples at ``data`` against those at ``against``.

    Without a run, either side may be images of any framework: uint8 (n, height, width, 1 to 4 channels), or an
    ``ImageDataset``, whose labels count too. Labels and classes are those of ``against``.
    ``extractor``: self, effnet-lite0 or inception:FILE. ``n``: samples, or those of each side, at most. A language
    model is scored on the text that was held out, or on all text at ``data``; a translator, a classifier or an embedder
    on the examples that were, or on up to ``n`` at ``data`` (and ``against``).
    ``device`` computes samples and features: auto, cpu, cuda, cuda:1 or mps.
    A run's scores are added to its records, and its report is written again. ``run`` may be a Hugging Face folder with
    a language model: it is scored on all text at ``data``. ``use`` is the file of a recipe of one's own.

    >>> import luoxia
    >>> from pathlib import Path
    >>> rows = "".join(f"day {i},{('bad', 'good')[i % 2]}\\n" for i in range(40))
    >>> _ = Path("days.csv").write_text("text,label\\n" + rows)
    >>> tiny = {"layers": 1, "heads": 1, "width": 8, "batch": 64, "steps": 2}
    >>> run = luoxia.train("classify-text", data="days.csv", label="label", **tiny, quiet=True)
    >>> accuracy = luoxia.measure(run, quiet=True)["accuracy"]
    >>> accuracy.heading, 0 <= accuracy.low <= accuracy.value <= accuracy.high <= 1
    ('plausibility', True)
    """
    given = {"data": data, "against": against, "extractor": extractor, "n": n, "seed": seed, "device": device}
    settings = {key: value for key, value in {**given, "use": use}.items() if value is not None}
    return measured(None if run is None else named_path(run, "measure"), quiet=quiet, **settings)


def measured(run: str | ModelRecord | None, /, *, quiet: bool = False, **settings: Any) -> Any:
    """The same for the keys of the command line."""
    places = [settings.get(key) for key in ("data", "against")]
    if run is not None:
        run = open_scored(run)
        if not all(isinstance(place, str | os.PathLike | None) for place in places):
            raise UsageError("measure takes arrays as data= and against= only without a run")
        _check_places(*places)
        record = opened(run, settings)
        capability = record.task.capability("measure", record)
        capability.keys.from_settings(settings)  # what is wrong is said before torch is imported
        return capability(record, **settings, quiet=quiet)
    settings = using(settings)
    require_device(settings.get("device"))
    data, against = (settings.pop(key, None) for key in ("data", "against"))
    if data is None or against is None:
        raise UsageError("measure needs a RUN, or data=SAMPLES against=REFERENCES")
    _check_places(*places)
    medium = next(medium for medium in registry.media() if medium.accepts(against))
    return medium.compare(data, against, **settings)


def _check_places(*sources: Any) -> None:
    for source in sources:
        if isinstance(source, str | os.PathLike):
            require_data(os.fspath(source))
