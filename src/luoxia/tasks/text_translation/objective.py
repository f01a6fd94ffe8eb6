"""The next token of a translation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from luoxia.tasks.shared.prediction import Prediction, counted
from luoxia.training.objective import Examples


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


class Translation(Prediction):
    """A sentence from its counterpart: min −Σ log p(y_t | y_<t, x) (Vaswani et al. 2017), with smoothed labels."""

    def __init__(self, translator: nn.Module, smoothing: float = 0.1) -> None:
        super().__init__("translator", translator, smoothing)

    def logits(self, batch: PairBatch) -> Tensor:
        """Of the target token after each input, the source in view."""
        logits: Tensor = self.networks[self.name](batch.source, batch.source_mask, batch.inputs)
        return logits
