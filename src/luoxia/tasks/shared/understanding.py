"""What objectives share that understand texts: one network, one loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from luoxia.training.objective import Losses, Objective, Phase, Rng


class Understanding(Objective):
    """One network, one loss. A subclass says what a batch costs."""

    phase: str
    weighting: Literal["example", "batch"] = "example"

    def __init__(self, name: str, network: nn.Module) -> None:
        self.name = name
        self.networks = {name: network}
        self.averaged = (name,)
        self.statistics = {}

    def nll(self, batch: Any) -> Tensor:
        """−log p of what is right, the mean of a batch."""
        raise NotImplementedError

    def phases(self) -> Iterator[Phase]:
        """One."""
        yield Phase(self.phase, self.losses, self.name, weighting=self.weighting)

    def losses(self, batch: Any, rng: Rng) -> Losses:
        """Nats an answer."""
        return {"nll": self.nll(batch)}

    @torch.no_grad()
    def observe(self, train: Any, heldout: Any | None, rng: Rng) -> dict[str, Tensor]:
        """Nats on batches it has and has not been trained on, without dropout or smoothing."""
        network = self.networks[self.name].eval()
        batches = {"train_nll": train, "heldout_nll": heldout}
        observed = {name: self.nll(batch) for name, batch in batches.items() if batch is not None}
        network.train()
        return observed
