"""Which class a text has."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.tasks.shared.understanding import Understanding
from luoxia.training.objective import Examples, Losses, Rng


@dataclass
class LabeledTexts(Examples):
    """Texts ``ids`` (n, t) int64 with ``mask`` (n, t) bool, True = real token, and their ``labels`` (n,) int64.

    What is seen is counted in real tokens.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen = int(self.mask.sum())

    def __len__(self) -> int:
        return len(self.ids)


class Classification(Understanding):
    """The class of a text: min −log p(y | x), labels smoothed (Szegedy et al. 2016, arXiv:1512.00567, section 7)."""

    phase = "classification"

    def __init__(self, classifier: nn.Module, smoothing: float = 0.1) -> None:
        super().__init__("classifier", classifier)
        self.smoothing = smoothing

    def logits(self, batch: LabeledTexts) -> Tensor:
        """Of the classes: (n, classes)."""
        logits: Tensor = self.networks[self.name](batch.ids, batch.mask)
        return logits

    def nll(self, batch: LabeledTexts) -> Tensor:
        """Of the right classes."""
        return F.cross_entropy(self.logits(batch), batch.labels)

    def losses(self, batch: LabeledTexts, rng: Rng) -> Losses:
        """Nats a text, labels smoothed."""
        loss = F.cross_entropy(self.logits(batch), batch.labels, label_smoothing=self.smoothing)
        return {"nll": loss}
