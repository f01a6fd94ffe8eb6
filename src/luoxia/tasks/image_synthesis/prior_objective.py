"""The next token of a grid, in the order of each image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from luoxia.tasks.image_synthesis.conditions import Conditioned
from luoxia.tasks.shared.prediction import Prediction


@dataclass
class GridBatch(Conditioned):
    """Tokens ``samples`` (n, places, codebooks) int64 of images, the last axis of their grids fastest; conditions; and
    the ``order`` (n, places) int64 in which the places are read.
    """

    order: Tensor

    @cached_property
    def targets(self) -> Tensor:
        """The tokens in their order."""
        return self.samples.gather(1, self.order[..., None].expand_as(self.samples))


class NextToken(Prediction):
    """min −Σ log p(x_σ(i) | x_σ(<i), σ, c), over orders σ (Yu et al. 2024, arXiv:2411.00776, eq. 3)."""

    def __init__(self, prior: nn.Module) -> None:
        super().__init__("prior", prior)

    def logits(self, batch: GridBatch) -> Tensor:
        """Of each token from those before it."""
        logits: Tensor = self.networks[self.name](batch.targets, batch.order, batch.conditions)
        return logits
