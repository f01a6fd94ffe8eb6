"""Objectives on tokens: the next token, the translation, the class, the pair that belongs together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.objectives.base import Losses, Objective, Phase, Rng

UNCOUNTED = -100
"""A target that no loss counts: padding, or a prompt that is given and not predicted."""


@dataclass
class TokenBatch:
    """Rows of tokens: ``inputs`` and ``targets`` (n, t) int64, ``segments`` (n, t) the document of each or None."""

    inputs: Tensor
    targets: Tensor
    segments: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass
class PairBatch:
    """Sentence pairs: ``source`` (n, s) int64 with ``source_mask`` bool, ``inputs`` and ``targets`` (n, t) int64."""

    source: Tensor
    source_mask: Tensor
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.source)


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """−log p of the targets (n, t) under logits (n, t, v), the mean of those counted, in float32.

    ``smoothing`` ε gives every token ε / v of the target's probability (Szegedy et al. 2016, arXiv:1512.00567).
    """
    return F.cross_entropy(
        logits.flatten(0, -2).float(), targets.flatten(), ignore_index=UNCOUNTED, label_smoothing=smoothing
    )


class LanguageModel(Objective):
    """Each token from those before it: min −Σ log p(x_t | x_<t) (Radford et al. 2018, eq. 1)."""

    averaged = ("decoder",)

    def __init__(self, decoder: nn.Module, *, smoothing: float = 0.0) -> None:
        self.networks = {"decoder": decoder}
        self.smoothing = smoothing
        self.statistics = {}

    def phases(self) -> Iterator[Phase]:
        """One."""
        yield Phase("language", self.losses, "decoder")

    def losses(self, batch: TokenBatch, rng: Rng) -> Losses:
        """Nats a token."""
        logits = self.networks["decoder"](batch.inputs, segments=batch.segments)
        return {"nll": cross_entropy(logits, batch.targets, self.smoothing)}

    @torch.no_grad()
    def observe(self, train: TokenBatch, heldout: TokenBatch | None, rng: Rng) -> dict[str, Tensor]:
        """Nats a token on text it has and has not been trained on, without dropout or smoothing."""
        network = self.networks["decoder"].eval()
        observed = {}
        for name, batch in (("train_nll", train), ("heldout_nll", heldout)):
            if batch is not None:
                logits = network(batch.inputs, segments=batch.segments)
                observed[name] = cross_entropy(logits, batch.targets)
        network.train()
        return observed


class Translation(Objective):
    """A sentence from its counterpart: min −Σ log p(y_t | y_<t, x) (Vaswani et al. 2017), with smoothed labels."""

    averaged = ("translator",)

    def __init__(self, translator: nn.Module, *, smoothing: float = 0.1) -> None:
        self.networks = {"translator": translator}
        self.smoothing = smoothing
        self.statistics = {}

    def phases(self) -> Iterator[Phase]:
        """One."""
        yield Phase("translation", self.losses, "translator")

    def losses(self, batch: PairBatch, rng: Rng) -> Losses:
        """Nats a target token, labels smoothed."""
        logits = self.networks["translator"](batch.source, batch.source_mask, batch.inputs)
        return {"nll": cross_entropy(logits, batch.targets, self.smoothing)}

    @torch.no_grad()
    def observe(self, train: PairBatch, heldout: PairBatch | None, rng: Rng) -> dict[str, Tensor]:
        """Nats a target token on seen and unseen pairs, without dropout or smoothing."""
        network = self.networks["translator"].eval()
        observed = {}
        for name, batch in (("train_nll", train), ("heldout_nll", heldout)):
            if batch is not None:
                observed[name] = cross_entropy(
                    network(batch.source, batch.source_mask, batch.inputs), batch.targets
                )
        network.train()
        return observed
