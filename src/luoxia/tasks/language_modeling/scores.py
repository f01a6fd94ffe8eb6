"""The scores of a language model: how it predicts real text, and what its own text is like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from luoxia.decoding.loop import Decoding
from luoxia.media.text.conditions import Documents
from luoxia.media.text.corpus import LanguageCorpus
from luoxia.media.text.scores import measure_texts
from luoxia.media.text.tokens import IGNORED, TokenStream, Windows
from luoxia.metrics.language import measure_language
from luoxia.metrics.score import Score
from luoxia.nn.torch_private import attends_packed
from luoxia.tasks.language_modeling.model import TextGenerator
from luoxia.tasks.language_modeling.objective import TokenBatch
from luoxia.training.hardware import autocast

ROWS = 16
"""Windows that are scored at a time."""


def to_batch(windows: Windows, device: torch.device) -> TokenBatch:
    """Rows of tokens on the device; rows that hold one document each need no segments."""
    inputs, targets = map(torch.from_numpy, (windows.inputs, windows.targets))
    if not windows.segments.any():
        return TokenBatch(inputs, targets).to(device)
    bounds = torch.from_numpy(windows.bounds()) if attends_packed(device) else None
    return TokenBatch(inputs, targets, torch.from_numpy(windows.segments), bounds).to(device)


def prediction_scores(
    network: Any,
    part: TokenStream | Documents,
    corpus: LanguageCorpus[Any],
    *,
    context: int,
    device: torch.device,
    dtype: torch.dtype,
    name: str,
    seed: int,
    most: int | None = None,
) -> list[Score]:
    """Nats a token, perplexity and bits per byte of a part of a corpus; [] if it is empty.

    ``most``: of so many rows of it, spread over all.
    ``name`` tells which text it is, for the signature.
    """
    lengths = np.asarray(corpus.tokenizer.byte_lengths())
    training = network.training
    network.eval()
    likelihoods, sizes = [], []
    for likelihood, targets in _likelihoods(network, part.in_order(context, ROWS, most), device, dtype):
        counted = targets != IGNORED
        likelihoods.append(likelihood[counted])
        sizes.append(int(lengths[targets[counted]].sum()))
    network.train(training)
    if not sum(sizes):
        return []
    kind = f"{corpus.tokenizer.kind} {corpus.tokenizer.digest[:8]}"
    return measure_language(likelihoods, sizes, tokenizer=kind, text=name, seed=seed)


@torch.inference_mode()
def _likelihoods(
    network: Any, rows: Iterable[Windows], device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """(−ln p (t,), targets (t,)) of each row."""
    for windows in rows:
        batch = to_batch(windows, device)
        with autocast(device, dtype):
            packed = {} if batch.bounds is None else {"bounds": batch.bounds}
            logits = network(batch.inputs, segments=batch.segments, **packed)
        nll = F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="none")
        yield from zip(nll.view_as(batch.targets).cpu().numpy(), windows.targets, strict=True)


def writing_scores(
    generator: TextGenerator,
    corpus: LanguageCorpus[Any],
    train: TokenStream | Documents,
    heldout: TokenStream | Documents,
    *,
    n: int,
    tokens: int,
    seed: int,
) -> list[Score]:
    """Likeness, sense, variety and memorization of ``n`` generated texts of up to ``tokens`` tokens, temperature 1.

    What has conditions is asked for texts under those of held-out ones.
    """
    conditions = corpus.conditions(heldout, n, generator.network.config.context, seed)
    decoding = Decoding(max_tokens=tokens)
    generated = generator.sample(n, seed, condition=conditions, decoding=decoding)
    return measure_texts(generated, corpus.texts(train), corpus.texts(heldout), seed=seed)
