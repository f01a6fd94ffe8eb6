"""The scores of a language model: how it predicts real text, and what its own text is like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from luoxia.data.text.corpus import Corpus
from luoxia.data.text.tokens import IGNORED, TokenStream, Windows
from luoxia.generation.language import TextGenerator
from luoxia.generation.text import Decoding
from luoxia.metrics.language import measure_language
from luoxia.metrics.score import Score
from luoxia.metrics.texts import measure_texts
from luoxia.objectives.language import TokenBatch
from luoxia.training.hardware import autocast

ROWS = 16
"""Windows that are scored at a time."""
MOST_TEXT = 20_000_000
"""Tokens of training text that generated text is compared with."""


@dataclass(frozen=True)
class TextMeasurement:
    """All scores of a language model."""

    scores: list[Score]

    def __getitem__(self, name: str) -> Score:
        return next(score for score in self.scores if score.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"scores": [score.as_dict() for score in self.scores]}


def to_batch(windows: Windows, device: torch.device) -> TokenBatch:
    """Rows of tokens on the device; rows that hold one document each need no segments."""
    segments = torch.from_numpy(windows.segments).to(device) if windows.segments.any() else None
    inputs, targets = (torch.from_numpy(side).to(device) for side in (windows.inputs, windows.targets))
    return TokenBatch(inputs, targets, segments)


def prediction_scores(
    network: Any,
    stream: TokenStream,
    corpus: Corpus,
    *,
    context: int,
    device: torch.device,
    dtype: torch.dtype,
    name: str,
    seed: int,
    most: int | None = None,
) -> list[Score]:
    """Nats a token, perplexity and bits per byte of a stream, or of ``most`` windows of it; [] if it is empty.

    ``name`` tells which text it is, for the signature.
    """
    lengths = np.asarray(corpus.tokeniser.byte_lengths())
    training = network.training
    network.eval()
    likelihoods, sizes = [], []
    for likelihood, targets in _likelihoods(network, stream, context, device, dtype):
        counted = targets != IGNORED
        likelihoods.append(likelihood[counted])
        sizes.append(int(lengths[targets[counted]].sum()))
        if most is not None and len(sizes) >= most:
            break
    network.train(training)
    if not sum(sizes):
        return []
    kind = f"{corpus.tokeniser.kind} {corpus.tokeniser.digest[:8]}"
    return measure_language(likelihoods, sizes, tokeniser=kind, text=name, seed=seed)


@torch.inference_mode()
def _likelihoods(
    network: Any, stream: TokenStream, context: int, device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """(−ln p (context,), targets (context,)) of each window."""
    for windows in stream.in_order(context, ROWS):
        batch = to_batch(windows, device)
        with autocast(device, dtype):
            logits = network(batch.inputs, segments=batch.segments)
        nll = F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="none")
        yield from zip(nll.view_as(batch.targets).cpu().numpy(), windows.targets, strict=True)


def writing_scores(
    generator: TextGenerator,
    corpus: Corpus,
    train: TokenStream,
    heldout: TokenStream,
    *,
    n: int,
    tokens: int,
    seed: int,
) -> list[Score]:
    """Likeness, sense, variety and memorisation of ``n`` generated texts of up to ``tokens`` tokens, temperature 1."""
    generated = generator.sample(n, seed, decoding=Decoding(max_tokens=tokens))
    return measure_texts(generated, texts_of(train, corpus), texts_of(heldout, corpus), seed=seed)


def texts_of(stream: TokenStream, corpus: Corpus) -> list[str]:
    """The documents of a stream, decoded; of a very long one, its beginning."""
    tokens = stream.take(np.arange(min(len(stream), MOST_TEXT)))
    pieces = np.split(tokens, np.flatnonzero(tokens == stream.eos) + 1)
    texts = (corpus.tokeniser.decode(piece.tolist()) for piece in pieces if len(piece))
    return [text for text in texts if text]
