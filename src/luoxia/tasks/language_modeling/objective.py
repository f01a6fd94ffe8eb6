"""The next token of a text."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from luoxia.nn.torch_private import any_length
from luoxia.tasks.shared.prediction import Prediction, counted
from luoxia.training.objective import Examples


@dataclass
class TokenBatch(Examples):
    """Rows of tokens: ``inputs`` and ``targets`` (n, t) int64, ``segments`` (n, t) the document of each or None.

    A target of ``IGNORED`` costs nothing. ``bounds`` (documents + 1,) int32: where each document begins, rows end to
    end, for kernels that want to know.
    """

    inputs: Tensor
    targets: Tensor
    segments: Tensor | None = None
    bounds: Tensor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.weight = counted(self.targets)

    def __len__(self) -> int:
        return len(self.inputs)


class LanguageModel(Prediction):
    """Each token from those before it: min −Σ log p(x_t | x_<t) (Radford et al. 2018, eq. 1)."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__("decoder", decoder)

    def logits(self, batch: TokenBatch) -> Tensor:
        """Of the token after each input."""
        packed = {} if batch.bounds is None else {"bounds": batch.bounds}
        if self.compiled and batch.bounds is not None:
            any_length(batch.bounds)
        logits: Tensor = self.networks[self.name](batch.inputs, segments=batch.segments, **packed)
        return logits
