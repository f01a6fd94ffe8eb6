"""The mean of a network's weights over its last checkpoints: what is sampled, instead of a moving average."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class CheckpointAverage:
    """Vaswani et al. 2017, section 6.1. Until there is a checkpoint to average, ``module`` is the network itself."""

    def __init__(self, network: nn.Module) -> None:
        self.follow(network)

    def follow(self, network: nn.Module) -> None:
        """Take this network for the present weights."""
        self.network = network
        self.module = network

    def take(self, states: list[dict[str, Tensor]]) -> None:
        """Become the mean of these weights, computed in float64; what is not floating is the last's."""
        if not states:
            self.module = self.network
            return
        if self.module is self.network:
            self.module = copy.deepcopy(self.network).eval().requires_grad_(False)
        mean = {
            name: torch.stack([state[name].double() for state in states]).mean(0).to(last.dtype)
            if last.is_floating_point()
            else last
            for name, last in states[-1].items()
        }
        self.module.load_state_dict(mean)


def averaged_steps(step: int, every: int, count: int, last: bool = False) -> list[int]:
    """The steps of the ``count`` checkpoints that are averaged at ``step``, in order.

    They are multiples of ``every``, so that a run that was stopped in between averages the same; at the end of training
    (``last``) the final step too.
    """
    multiples = range(every, step + 1, every)
    steps = [*multiples, *([step] if last and step > 0 and step % every else [])]
    return steps[-count:] if count else []
