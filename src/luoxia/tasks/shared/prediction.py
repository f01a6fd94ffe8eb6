"""Objectives on tokens: each one predicted from those before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.media.text.tokens import IGNORED
from luoxia.training.objective import Losses, Objective, Phase, Rng


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
        self.cost = cross_entropy
        self.compiled = False

    def compile(self) -> None:
        """The loss too: as written, it keeps the logits in float32 twice, the largest tensors of a step."""
        self.cost = torch.compile(cross_entropy)
        self.compiled = True

    def logits(self, batch: Any) -> Tensor:
        """The network's answer to a batch: (n, t, vocabulary)."""
        raise NotImplementedError

    def phases(self) -> Iterator[Phase]:
        """One."""
        yield Phase("prediction", self.losses, self.name)

    def losses(self, batch: Any, rng: Rng) -> Losses:
        """Nats a target token, labels smoothed."""
        return {"nll": self.cost(self.logits(batch), batch.targets, self.smoothing)}

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
