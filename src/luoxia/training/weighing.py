"""What each part of an update counts, over the batches it accumulates and over all processes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from luoxia.core.errors import UsageError
from luoxia.training.distributed import World
from luoxia.training.objective import BatchLike, Phase
from luoxia.training.recipe import Recipe


class Weighing:
    """The batches that make one update, and those of the other processes.

    The joint batch's loss is Σ wᵢ·lossᵢ / Σ wᵢ, with each lossᵢ a mean over its batch's weight wᵢ. Gradients of one
    process's parts are summed, those of all processes averaged. The sums begin to travel when this is made, and are
    waited for when they are first asked for, after the first part's forward pass.
    """

    def __init__(self, batches: Iterable[BatchLike], world: World) -> None:
        counts = [(batch.weight, batch.seen) for batch in batches]
        self._weights = [weight for weight, _ in counts]
        self._size = world.size
        self._wait = world.adding(sum(self._weights), sum(seen for _, seen in counts))

    @property
    def weight(self) -> int:
        """What the losses of this process's own parts are means over, added up."""
        return sum(self._weights)

    @cached_property
    def _sums(self) -> tuple[int, int]:
        weight, seen = self._wait()
        return weight, seen

    @property
    def seen(self) -> int:
        """What all parts add to what was seen, in all processes."""
        return self._sums[1]

    def divisor(self, part: int) -> float:
        """What a part's loss is divided by: 1 of a lone batch, k of k parts of equal weight, exactly."""
        return self._sums[0] / (self._weights[part] * self._size)


def check_accumulation(phases: Iterable[Phase], recipe: Recipe) -> None:
    """``UsageError`` where the parts of a batch cannot make a whole."""
    parts = recipe.accumulate
    for phase in phases:
        if parts > 1 and phase.weighting == "batch":
            raise UsageError(
                f"accumulate={parts} would change what is learned: the phase '{phase.name}' compares the examples of a "
                f"batch with each other; set accumulate=1, and batch={parts * recipe.batch} if that fits"
            )
