"""Objectives on tokens: the next token of a text, or of a translation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.data.text.tokens import IGNORED
from luoxia.objectives.base import Examples, Losses, Objective, Phase, Rng


@dataclass
class TokenBatch(Examples):
    """Rows of tokens: ``inputs`` and ``targets`` (n, t) int64, ``segments`` (n, t) the document of each or None.

    A target of ``IGNORED`` costs nothing.
    """

    inputs: Tensor
    targets: Tensor
    segments: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.weight = counted(self.targets)

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass
class PairBatch(Examples):
    """Sentence pairs: ``source`` (n, s) int64 with ``source_mask`` bool, ``inputs`` and ``targets`` (n, t) int64.

    What is seen is counted in target tokens.
    """

    source: Tensor
    source_mask: Tensor
    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        self.weight = self.seen = counted(self.targets)

    def __len__(self) -> int:
        return len(self.source)


def counted(targets: Tensor) -> int:
    """How many targets cost something: waits for the device, so count before they move there."""
    return int((targets != IGNORED).sum())


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """−log p of the targets (n, t) under logits (n, t, v), the mean of those counted, in float32.

    ``smoothing`` ε gives every token ε / v of the target's probability (Szegedy et al. 2016, arXiv:1512.00567).
    """
    return F.cross_entropy(
        logits.flatten(0, -2).float(), targets.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
    )


class Prediction(Objective):
    """Every token of a target from those before it. A subclass says how its network is asked."""

    def __init__(self, name: str, network: nn.Module, smoothing: float = 0.0) -> None:
        self.name = name
        self.networks = {name: network}
        self.averaged = (name,)
        self.smoothing = smoothing
        self.statistics = {}

    def logits(self, batch: Any) -> Tensor:
        """The network's answer to a batch: (n, t, vocabulary)."""
        raise NotImplementedError

    def phases(self) -> Iterator[Phase]:
        """One."""
        yield Phase("prediction", self.losses, self.name)

    def losses(self, batch: Any, rng: Rng) -> Losses:
        """Nats a target token, labels smoothed."""
        return {"nll": cross_entropy(self.logits(batch), batch.targets, self.smoothing)}

    @torch.no_grad()
    def observe(self, train: Any, heldout: Any | None, rng: Rng) -> dict[str, Tensor]:
        """Nats a token on batches it has and has not been trained on, without dropout or smoothing."""
        network = self.networks[self.name].eval()
        observed = {
            name: cross_entropy(self.logits(batch), batch.targets)
            for name, batch in (("train_nll", train), ("heldout_nll", heldout))
            if batch is not None
        }
        network.train()
        return observed


class LanguageModel(Prediction):
    """Each token from those before it: min −Σ log p(x_t | x_<t) (Radford et al. 2018, eq. 1)."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__("decoder", decoder)

    def logits(self, batch: TokenBatch) -> Tensor:
        """Of the token after each input."""
        logits: Tensor = self.networks[self.name](batch.inputs, segments=batch.segments)
        return logits


class Translation(Prediction):
    """A sentence from its counterpart: min −Σ log p(y_t | y_<t, x) (Vaswani et al. 2017), with smoothed labels."""

    def __init__(self, translator: nn.Module, smoothing: float = 0.1) -> None:
        super().__init__("translator", translator, smoothing)

    def logits(self, batch: PairBatch) -> Tensor:
        """Of the target token after each input, the source in view."""
        logits: Tensor = self.networks[self.name](batch.source, batch.source_mask, batch.inputs)
        return logits
