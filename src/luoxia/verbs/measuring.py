"""The call behind ``measure``: scores of a run, or of images against images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from luoxia.core.config import known_keys, named_path
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.order import holdout_split
from luoxia.media.image.extractors.base import open_extractor
from luoxia.media.image.images import ImageDataset, open_images
from luoxia.media.image.reference import Reference
from luoxia.media.image.scores import Measurement
from luoxia.media.image.scores import measure as measure_against
from luoxia.media.text.corpus import corpus_of
from luoxia.media.text.sources import read_texts
from luoxia.metrics.classification import Classification
from luoxia.metrics.score import Score
from luoxia.runs.display import Display
from luoxia.runs.folder import is_foreign, kind_of
from luoxia.runs.report import write_report
from luoxia.runs.run import Run
from luoxia.tasks.image_generation.training import ImageSession
from luoxia.tasks.image_translation.training import UnpairedSession, examine, split
from luoxia.tasks.language_modeling.scores import TextMeasurement, prediction_scores, writing_scores
from luoxia.tasks.language_modeling.training import TextSession, held_out_name, longest_text, text_name
from luoxia.tasks.menu import configure, recorded
from luoxia.tasks.shared.image_training import make_reference, picture_neighbors
from luoxia.tasks.shared.pairs import PairSession
from luoxia.tasks.shared.supervised import ExaminedSession
from luoxia.tasks.text_classification.training import ClassificationSession
from luoxia.tasks.text_embedding.training import EmbeddingSession
from luoxia.tasks.text_translation.training import TranslationSession
from luoxia.training.hardware import choose_device, choose_precision
from luoxia.verbs.api import load
from luoxia.verbs.opening import using
from luoxia.verbs.settings import MeasureSettings

FOREIGN_CONTEXT = 1024
"""Tokens in a row that another toolkit's model predicts, where it can read as many."""
Source = str | Path | ArrayLike | ImageDataset
"""A path, images, or a data set."""
EXAMINED: tuple[type[ExaminedSession], ...] = (TranslationSession, ClassificationSession, EmbeddingSession)
"""The sessions whose models are examined on examples with known answers."""


@known_keys
def measure(
    run: str | Path | Run | None = None,
    *,
    data: Source | None = None,
    against: Source | None = None,
    extractor: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    device: str | torch.device = "auto",
    quiet: bool = False,
    use: str | None = None,
) -> Measurement | TextMeasurement | Classification:
    """Score a run against its data (or ``data``), or the images at ``data`` against those at ``against``.

    Without a run, either side may be images of any framework: uint8 (n, height, width, 1 to 4 channels), or an
    ``ImageDataset``, whose labels count too. Labels and classes are those of ``against``.
    ``extractor``: self, effnet-lite0 or inception:FILE. ``n``: samples, or images of each side, at most. A language
    model is scored on the text that was held out, or on all text at ``data``; a translator, a classifier or an embedder
    on the examples that were, or on up to ``n`` at ``data`` (and ``against``).
    ``device`` computes samples and features: auto, cpu, cuda, cuda:1 or mps.
    A run's scores are added to its records, and its report is written anew. ``run`` may be a Hugging Face folder with a
    language model: it is scored on all text at ``data``. ``use`` is the file of a recipe of one's own.
    """
    data, against = _source(data), _source(against)
    given = {"extractor": extractor, "n": n, "seed": seed, "device": device}
    chosen: MeasureSettings = MeasureSettings.from_settings(given)
    extractor, n, seed, device = chosen.extractor, chosen.n, chosen.seed, choose_device(chosen.device)
    if run is None:
        if data is None or against is None:
            raise UsageError("measure needs a RUN, or data=IMAGES against=REFERENCE_IMAGES")
        seed = 1 if seed is None else seed
        return _measure_sources(data, against, extractor or "self", n or 10_000, seed, device)
    run = named_path(run, "measure")
    if not isinstance(data, str | None) or not isinstance(against, str | None):
        raise UsageError("measure takes arrays of images as data= and against=, without a run")
    using({"use": use})
    if is_foreign(run):
        return _measure_foreign(Path(run), data, against, extractor, n, 0 if seed is None else seed, device)
    opened = Run.open(run)
    opened.refuse_links()
    kind = kind_of(opened.path)
    examined = next((session for session in EXAMINED if session.exported == kind), None)
    two_sided = kind == UnpairedSession.exported or (
        examined is not None and issubclass(examined, PairSession)
    )
    if against and not (two_sided and data):
        raise UsageError("measure takes a RUN, or data= and against=, not both")
    if extractor and (examined or kind == TextSession.exported):
        raise UsageError("extractor= is for images; text is scored by itself")
    if examined:
        return _measure_examined(examined, opened, data, against, n, seed, device)
    if kind == TextSession.exported:
        return _measure_text(opened, data, n, seed, device)
    if kind == UnpairedSession.exported:
        return _measure_translator(opened, data, against, extractor, n, seed, device, Display(quiet))
    return _measure_run(opened, data, extractor, n, seed, device, Display(quiet))


def _config(run: Run) -> Any:
    """The recipe of a run, as it was trained."""
    recipe = recorded(run.manifest, run.path)
    return configure(recipe, recipe.current(run.manifest["config"]))


def _source(source: Source | None) -> Source | None:
    """A path as text; images as they are."""
    return os.fspath(source) if isinstance(source, os.PathLike) else source


def _measure_sources(
    data: Source, against: Source, extractor: str, n: int, seed: int, device: torch.device
) -> Measurement:
    known = open_images(against) if isinstance(against, str) else against
    reference = known.images if isinstance(known, ImageDataset) else _checked(known, "against")
    labels, classes, fingerprint = (
        (known.labels, known.classes, known.fingerprint)
        if isinstance(known, ImageDataset)
        else (None, (), None)
    )
    height, width, channels = reference.shape[1:]
    if isinstance(data, str):
        data = open_images(data, (height, width), channels=channels)
    measured = data.images if isinstance(data, ImageDataset) else _checked(data, "data")
    opened = open_extractor(extractor, reference, labels, fingerprint=fingerprint, device=device)
    real = Reference(reference, extractor=opened, labels=labels, classes=classes, seed=seed, limit=n)
    return measure_against(real, measured)


def _checked(images: Any, key: str) -> NDArray[np.uint8]:
    """Images as the metrics take them; ``UsageError`` for other arrays."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or not 1 <= array.shape[3] <= 4 or len(array) < 2:
        raise UsageError(
            f"{key}= is {array.dtype} {array.shape}: give a path, or two images or more as uint8 "
            "(n, height, width, 1 to 4 channels)"
        )
    return array


def _measure_run(
    run: Run,
    data: str | None,
    extractor: str | None,
    n: int | None,
    seed: int | None,
    device: torch.device,
    display: Display,
) -> Measurement:
    config = _config(run)
    generator = load(run.path, device=device)
    n = n or config.score_samples
    extractor = extractor or (config.extractor if config.extractor != "none" else "self")
    if data is not None:
        config = config.model_copy(update={"data": data})
    dataset = ImageSession.open_data(config, display)
    train, heldout = np.arange(len(dataset)), np.arange(0)
    if data is None:
        train, heldout = holdout_split(len(dataset), config.holdout, config.seed)
        _check_unchanged(run, dataset)
    seed = config.seed + 1 if seed is None else seed
    reference = make_reference(
        extractor, dataset, train, heldout, seed=seed, limit=max(n, 10_000), device=device
    )
    fakes = generator.sample(n, seed=seed)
    measurement = measure_against(reference, fakes)
    if data is None:
        picture_neighbors(run, fakes, reference.real, measurement)
        _record(run, generator, measurement.scores)
    return measurement


def _measure_translator(
    run: Run,
    data: str | None,
    against: str | None,
    extractor: str | None,
    n: int | None,
    seed: int | None,
    device: torch.device,
    display: Display,
) -> Measurement:
    config = _config(run)
    if data is not None and against is None:
        raise UsageError(
            f"{run.path} translates between two sides: give data=IMAGES_OF_A against=IMAGES_OF_B, or neither"
        )
    if data is not None:
        config = config.model_copy(update={"data": data, "against": against})
    dataset = UnpairedSession.open_data(config, display)
    sides = {side: dataset.centered(side) for side in "ab"}
    splits = {side: split(images, config) for side, images in sides.items()}
    if data is None:
        _check_unchanged(run, dataset)
    else:
        splits = {side: (np.arange(len(images)), np.arange(0)) for side, images in sides.items()}
    dtype = choose_precision(config.precision, device)  # that of training
    translator = load(run.path, device=device, dtype=dtype)
    seed = config.seed + 1 if seed is None else seed
    extractor = extractor or (config.extractor if config.extractor != "none" else "self")
    measurement, made, real = examine(
        translator, sides, splits, {}, config, seed=seed, extractor=extractor, n=n
    )
    if data is None:
        picture_neighbors(run, made, real, measurement)
        _record(run, translator, measurement.scores)
    return measurement


def _check_unchanged(run: Run, dataset: Any) -> None:
    """``UsageError`` when the data of a run is not what it was."""
    if dataset.fingerprint != run.manifest["data"]["fingerprint"]:
        raise UsageError(
            f"the data at {dataset.source} has changed since {run.path} began; name it as data= to use it"
        )


def _record(run: Run, model: Any, scores: Sequence[Score]) -> None:
    """Add final scores to a run's records, and write its report anew."""
    records = [score.as_dict() for score in scores]
    run.append("score", model.details.step, _last_seconds(run), scores=records, final=True)
    write_report(run.path)


def _measure_text(
    run: Run, data: str | None, n: int | None, seed: int | None, device: torch.device
) -> TextMeasurement:
    if data is not None and n is not None:
        raise UsageError(
            "n= is how many texts are written and scored, and beside data= none are: leave it out"
        )
    config = _config(run)
    generator = load(run.path, device=device)
    source = read_texts(
        config.data if data is None else data,
        condition=config.condition,
        target=config.target,
        allow_skipped=config.allow_skipped,
        template=generator.chat,
    )
    corpus = corpus_of(source, generator.tokenizer)
    if data is None:
        _check_unchanged(run, corpus)
    seed = config.seed + 1 if seed is None else seed
    train, heldout = corpus.split(config.holdout, config.seed)
    name = held_out_name(corpus, config) if data is None else f"{text_name(corpus)} whole"
    part = heldout if data is None else corpus.whole()
    scores = prediction_scores(
        generator.network, part, corpus,
        context=config.context, device=generator.device, dtype=torch.float32, name=name, seed=seed,
    )  # fmt: skip
    if not scores:
        raise LuoxiaError(f"no text of {corpus.source} was held out: name some that is as data=")
    if data is None:
        many, tokens = n or config.score_samples, longest_text(config)
        if many:
            scores += writing_scores(generator, corpus, train, heldout, n=many, tokens=tokens, seed=seed)
        _record(run, generator, scores)
    return TextMeasurement(scores)


def _measure_foreign(
    folder: Path,
    data: str | None,
    against: str | None,
    extractor: str | None,
    n: int | None,
    seed: int,
    device: torch.device,
) -> TextMeasurement:
    """How another toolkit's language model predicts all text at ``data``: no more is known of what it has read."""
    told = f"write luoxia measure {folder} data=TEXT"
    if kind_of(folder) != TextSession.exported:
        raise UsageError(f"{folder} holds a {kind_of(folder)}, and only language models are measured by text")
    if data is None:
        raise UsageError(f"{folder} is another toolkit's model, with no text of its own held out: {told}")
    if against or extractor or n:
        raise UsageError(f"against=, extractor= and n= have no meaning for {folder}: {told}")
    generator = load(folder, device=device)
    corpus = corpus_of(read_texts(data, template=generator.chat), generator.tokenizer)
    scores = prediction_scores(
        generator.network, corpus.whole(), corpus,
        context=min(FOREIGN_CONTEXT, generator.network.config.context), device=generator.device,
        dtype=torch.float32, name=f"{text_name(corpus)} whole", seed=seed,
    )  # fmt: skip
    return TextMeasurement(scores)


def _measure_examined(
    session: type[ExaminedSession],
    run: Run,
    data: str | None,
    against: str | None,
    n: int | None,
    seed: int | None,
    device: torch.device,
) -> TextMeasurement | Classification:
    config = _config(run)
    model, fingerprint = load(run.path, device=device), run.manifest["data"]["fingerprint"]
    measurement: TextMeasurement | Classification = session.examine_again(
        config, model, fingerprint, data, against, n, seed
    )
    if data is None:
        session.keep(run, measurement)
        _record(run, model, measurement.scores)
    return measurement


def _last_seconds(run: Run) -> float:
    return max((record.get("seconds", 0.0) for record in run.records()), default=0.0)
