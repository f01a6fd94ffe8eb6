"""Going on from trained weights: what fits is carried over, and the first blocks of a discriminator may be frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from luoxia.errors import UsageError


@runtime_checkable
class Staged(Protocol):
    """A discriminator that can be frozen in part."""

    def stages(self) -> list[nn.Module]:
        """Its blocks in the order in which an image passes them, without the last layer, which gives the logit."""
        ...


@dataclass(frozen=True)
class Carried:
    """Which tensors of a network are trained ones (``taken``), and which begin anew (``fresh``)."""

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    values: int
    """Numbers in the tensors taken."""
    of: int
    """Numbers in all tensors."""

    def as_dict(self) -> dict[str, object]:
        """For run.json."""
        tensors = len(self.taken) + len(self.fresh)
        return {
            "tensors": len(self.taken), "of_tensors": tensors, "values": self.values, "of_values": self.of,
            "fresh": list(self.fresh),
        }  # fmt: skip


@torch.no_grad()
def carry_over(network: nn.Module, trained: Mapping[str, Tensor]) -> Carried:
    """Give a network every trained tensor whose name and shape it has; the rest stay as they were made."""
    own = network.state_dict()
    fitting = {
        name: value for name, value in trained.items() if name in own and own[name].shape == value.shape
    }
    network.load_state_dict({**own, **fitting})
    return Carried(
        tuple(name for name in own if name in fitting),
        tuple(name for name in own if name not in fitting),
        sum(value.numel() for value in fitting.values()),
        sum(value.numel() for value in own.values()),
    )


def freeze(discriminator: nn.Module, blocks: int) -> None:
    """FreezeD (Mo et al. 2020, arXiv:2002.10964): the first ``blocks`` blocks keep their weights.

    ``UsageError`` for a discriminator that has fewer, or does not say which they are.
    """
    if blocks == 0:
        return
    if not isinstance(discriminator, Staged):
        raise UsageError(
            f"freeze_d={blocks} needs a discriminator with a method stages(), "
            f"which {type(discriminator).__name__} lacks"
        )
    stages = discriminator.stages()
    if blocks > len(stages):
        raise UsageError(f"freeze_d={blocks}: this discriminator has {len(stages)} blocks that can be frozen")
    for stage in stages[:blocks]:
        stage.requires_grad_(False)
