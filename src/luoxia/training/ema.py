"""The exponential moving average of a network: what is sampled and measured."""

from __future__ import annotations

import copy
from functools import cached_property

import torch
from torch import Tensor, nn

from luoxia.core.values import Annealed, value_at
from luoxia.nn.torch_private import each
from luoxia.training.sharding import local


class EMA:
    """Follows a network with β = 0.5^(samples / min(half-life, warm-up share · samples seen)) (Karras et al. 2020).

    The warm-up lets early averages forget their start; a half-life may also be annealed over the first ``course``
    samples.
    Buffers (batch-norm statistics) are averaged like weights, in float32; integer buffers are copied.
    """

    def __init__(
        self, network: nn.Module, half_life: float | Annealed, warmup_share: float, course: int = 0
    ) -> None:
        self.module = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life
        self.warmup_share = warmup_share
        self.course = course
        self.network = network

    @cached_property
    def _pairs(self) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
        """(average, value) of what is floating and of what is not: found late, for both may be sharded after."""
        pairs = list(zip(_tensors(self.module), _tensors(self.network), strict=True))
        floating = [(a, b) for a, b in pairs if a.is_floating_point()]
        return floating, [(a, b) for a, b in pairs if not a.is_floating_point()]

    def beta(self, samples: int, seen: int) -> float:
        """The share of the old average kept, for an update after ``samples`` more samples, ``seen`` in all."""
        half_life = value_at(self.half_life, seen / max(self.course, 1))
        half_life = min(half_life, self.warmup_share * seen) if self.warmup_share else half_life
        return float(0.5 ** (samples / half_life)) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(self, samples: int, seen: int) -> None:
        """Move the average towards the network."""
        floating, others = self._pairs
        averages, values = [a for a, _ in floating], [b.detach() for _, b in floating]
        each("lerp_", averages, values, 1.0 - self.beta(samples, seen))
        for old, new in others:
            old.copy_(new)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [local(tensor) for tensor in (*module.parameters(), *module.buffers())]
