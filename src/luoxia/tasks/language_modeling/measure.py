"""Measuring, as a verb: how a model predicts text that was held out, and what it writes itself."""

from __future__ import annotations

from typing import Any

import torch

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.text.corpus import corpus_of
from luoxia.media.text.sources import read_texts
from luoxia.metrics.score import Measurement
from luoxia.tasks.language_modeling.scores import prediction_scores, writing_scores
from luoxia.tasks.language_modeling.stage import held_out_name, longest_text, text_name
from luoxia.tasks.loading import load_model
from luoxia.tasks.measuring import check_unchanged, keep_scores, run_of
from luoxia.tasks.record import ModelRecord, trained_config
from luoxia.tasks.shared.settings import MeasureSettings

FOREIGN_CONTEXT = 1024
"""Tokens in a row that another toolkit's model predicts, where it can read as many."""


def measure(record: ModelRecord, /, *, quiet: bool = False, **settings: Any) -> Measurement:
    """Score a run, or another toolkit's model; ``settings`` are those of ``MeasureSettings``."""
    chosen: MeasureSettings = MeasureSettings.from_settings(settings)
    if record.is_foreign:
        return _measure_foreign(record, chosen)
    if chosen.data is not None and chosen.n is not None:
        raise UsageError(
            "n= is how many texts are written and scored, and beside data= none are: leave it out"
        )
    run = run_of(record)
    config = trained_config(run)
    generator = load_model(record, device=chosen.device)
    source = read_texts(
        config.data if chosen.data is None else chosen.data,
        condition=config.condition,
        target=config.target,
        allow_skipped=config.allow_skipped,
        template=generator.chat,
    )
    corpus = corpus_of(source, generator.tokenizer)
    if chosen.data is None:
        check_unchanged(run, corpus)
    seed = config.seed + 1 if chosen.seed is None else chosen.seed
    train, heldout = corpus.split(config.holdout, config.seed)
    name = held_out_name(corpus, config) if chosen.data is None else f"{text_name(corpus)} whole"
    part = heldout if chosen.data is None else corpus.whole()
    scores = prediction_scores(
        generator.network, part, corpus,
        context=config.context, device=generator.device, dtype=torch.float32, name=name, seed=seed,
    )  # fmt: skip
    if not scores:
        raise LuoxiaError(f"no text of {corpus.source} was held out: name some that is as data=")
    if chosen.data is None:
        many, tokens = chosen.n or config.score_samples, longest_text(config)
        if many:
            scores += writing_scores(generator, corpus, train, heldout, n=many, tokens=tokens, seed=seed)
        keep_scores(record, scores)
    return Measurement(scores)


def _measure_foreign(record: ModelRecord, chosen: MeasureSettings) -> Measurement:
    """How another toolkit's language model predicts all text at ``data``: no more is known of what it has read."""
    advice = f"write luoxia measure {record.path} data=TEXT"
    if chosen.data is None:
        raise UsageError(
            f"{record.path} is another toolkit's model, with no text of its own held out: {advice}"
        )
    if chosen.n:
        raise UsageError(f"n= does not apply to {record.path}: {advice}")
    generator = load_model(record, device=chosen.device)
    corpus = corpus_of(read_texts(chosen.data, template=generator.chat), generator.tokenizer)
    scores = prediction_scores(
        generator.network, corpus.whole(), corpus,
        context=min(FOREIGN_CONTEXT, generator.network.config.context), device=generator.device,
        dtype=torch.float32, name=f"{text_name(corpus)} whole", seed=chosen.seed or 0,
    )  # fmt: skip
    return Measurement(scores)
