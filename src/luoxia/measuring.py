"""The call behind ``measure``: scores of a run, or of images against images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from luoxia.api import configure, kind_of, load
from luoxia.data import holdout_split, open_images
from luoxia.data.text.corpus import Corpus
from luoxia.data.text.sources import read_texts
from luoxia.data.text.tokens import TokenDataset
from luoxia.errors import LuoxiaError, UsageError
from luoxia.metrics.extractors import open_extractor
from luoxia.metrics.images import Measurement, measure_images
from luoxia.metrics.images import measure as measure_against
from luoxia.runs.display import Display
from luoxia.runs.report import write_report
from luoxia.runs.run import Run
from luoxia.sessions.images import ImageSession, make_reference, picture_neighbours
from luoxia.sessions.text import TextSession, held_out_name, longest_text, split
from luoxia.sessions.text_scores import TextMeasurement, prediction_scores, writing_scores
from luoxia.sessions.translation import TranslationSession


def measure(
    run: str | Path | None = None,
    *,
    data: str | None = None,
    against: str | None = None,
    extractor: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    quiet: bool = False,
) -> Measurement | TextMeasurement:
    """Score a run against its data (or ``data``), or the images at ``data`` against those at ``against``.

    ``extractor``: self, effnet-lite0 or inception:FILE. ``n``: samples, or images of each side, at most. A language
    model is scored on the text that was held out, or on all text at ``data``.
    A run's scores are added to its records, and its report is written anew.
    """
    if run is None:
        if not data or not against:
            raise UsageError("measure needs a RUN, or data=IMAGES against=REFERENCE_IMAGES")
        return _measure_sources(data, against, extractor or "self", n or 10_000, 1 if seed is None else seed)
    if against:
        raise UsageError("measure takes a RUN, or data= and against=, not both")
    opened = Run.open(run)
    kind = kind_of(opened.path)
    if kind == TranslationSession.exported:
        raise UsageError("a translator is scored when its training ends: see its report")
    if kind == TextSession.exported:
        if extractor:
            raise UsageError("extractor= is for images; text is scored by itself")
        return _measure_text(opened, data, n, seed)
    return _measure_run(opened, data, extractor, n, seed, Display(quiet))


def _measure_sources(data: str, against: str, extractor: str, n: int, seed: int) -> Measurement:
    reference = open_images(against)
    spec = reference.spec
    measured = open_images(data, f"{spec.height}x{spec.width}", channels=spec.channels)
    opened = open_extractor(extractor, reference.images, reference.labels, fingerprint=reference.fingerprint)
    labels, classes = reference.labels, reference.classes
    return measure_images(
        measured.images,
        reference.images,
        extractor=opened,
        labels=labels,
        classes=classes,
        seed=seed,
        limit=n,
    )


def _measure_run(
    run: Run, data: str | None, extractor: str | None, n: int | None, seed: int | None, display: Display
) -> Measurement:
    config = configure(run.manifest["recipe"], run.manifest["config"])
    generator = load(run.path)
    n = n or config.score_samples
    extractor = extractor or (config.extractor if config.extractor != "none" else "self")
    if data is not None:
        config = config.model_copy(update={"data": data})
    dataset = ImageSession.open_data(config, display)
    train, heldout = np.arange(len(dataset)), np.arange(0)
    if data is None and config.holdout > 0:
        train, heldout = holdout_split(len(dataset), config.holdout, config.seed)
    if data is None and dataset.fingerprint != run.manifest["data"]["fingerprint"]:
        raise UsageError(
            f"the data at {dataset.source} has changed since {run.path} began; name it as data= to use it"
        )
    seed = config.seed + 1 if seed is None else seed
    reference = make_reference(extractor, dataset, train, heldout, seed=seed, limit=max(n, 10_000))
    fakes = generator.sample(n, seed=seed)
    measurement = measure_against(reference, fakes)
    if data is None:
        picture_neighbours(run, fakes, reference.real, measurement)
        records = [score.as_dict() for score in measurement.scores]
        run.append("score", generator.details["step"], _last_seconds(run), scores=records, final=True)
        write_report(run.path)
    return measurement


def _measure_text(run: Run, data: str | None, n: int | None, seed: int | None) -> TextMeasurement:
    config = configure(run.manifest["recipe"], run.manifest["config"])
    generator = load(run.path)
    source = read_texts(config.data if data is None else data)
    corpus = Corpus(TokenDataset.open(source, generator.tokenizer), generator.tokenizer)
    if data is None and corpus.fingerprint != run.manifest["data"]["fingerprint"]:
        raise UsageError(
            f"the data at {corpus.source} has changed since {run.path} began; name it as data= to use it"
        )
    seed = config.seed + 1 if seed is None else seed
    train, heldout = split(corpus, config)
    name = held_out_name(corpus, config) if data is None else f"{corpus.fingerprint[:8]} whole"
    stream = heldout if data is None else corpus.tokens.whole()
    scores = prediction_scores(
        generator.network, stream, corpus,
        context=config.context, device=generator.device, dtype=torch.float32, name=name, seed=seed,
    )  # fmt: skip
    if not scores:
        raise LuoxiaError(f"no text of {corpus.source} was held out: name some that is as data=")
    if data is None:
        many, tokens = n or config.score_samples, longest_text(config)
        if many:
            scores += writing_scores(generator, corpus, train, heldout, n=many, tokens=tokens, seed=seed)
        records = [score.as_dict() for score in scores]
        run.append("score", generator.details["step"], _last_seconds(run), scores=records, final=True)
        write_report(run.path)
    return TextMeasurement(scores)


def _last_seconds(run: Run) -> float:
    return max((record.get("seconds", 0.0) for record in run.records()), default=0.0)
