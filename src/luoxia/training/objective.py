"""The contract between objectives and the trainer: batches, randomness, phases."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]
Role = Literal["model", "critic", "regularizer"]
"""What a phase is for; the doctor asks for this and never for the name."""


class BatchLike(Protocol):
    """What the trainer needs to know of a batch; numbers that the host knows, so that no device is waited for."""

    weight: int
    """What its loss is a mean over, such as samples or target tokens."""
    seen: int
    """What it adds to the count of what was seen, in the unit of the training."""

    def __len__(self) -> int:
        """The number of examples."""
        ...


class Examples:
    """A batch, one tensor or several of n examples: its loss is a mean over them, and they are what was seen."""

    weight: int
    seen: int

    def __post_init__(self) -> None:
        self.weight = self.seen = len(self)

    def __len__(self) -> int:
        raise NotImplementedError

    def to(self, device: torch.device) -> Self:
        """The same batch on a device; its counts go along, so count before moving.

        To a GPU it travels from pinned memory: the host does not wait for what the GPU has yet to do.
        """
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                pinned = value.pin_memory() if device.type == "cuda" and value.is_cpu else value
                setattr(moved, name, pinned.to(device, non_blocking=pinned is not value))
        return moved

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory of the batch, made on another stream, until this one's work so far is done."""
        for value in vars(self).values():
            if isinstance(value, Tensor):
                value.record_stream(stream)


@dataclass
class Batch(Examples):
    """Real samples (n, …), float32, and labels (n,) int64 or None; images are (n, c, h, w) in [-1, 1]."""

    samples: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.samples)


def hashed(*parts: Any) -> int:
    """A 63-bit seed from any printable values; equal parts give equal seeds on every machine."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Rng:
    """All randomness of one step, on one device, from one seed."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal values, float32."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Values in [0, 1), float32."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Integers in [low, high), int64."""
        return torch.randint(low, high, shape, generator=self.generator, device=self.device)


@dataclass(frozen=True)
class Phase:
    """One loss and the one network it updates.

    ``losses(batch, rng)`` returns named scalars whose sum is minimized, each a mean over the batch's ``weight``: the
    trainer weighs the parts of an accumulated update, and of several processes, so that their gradient is that of the
    joint batch. ``weighting="batch"``: the loss compares the examples of a batch with each other (those of all
    processes, if it gathers them), so that parts cannot make a whole, and accumulation is refused.
    ``role``: whether it trains the model, judges it (``critic``), or only restrains a network (``regularizer``).
    ``repeat``: times a step, each on a fresh batch. ``every``: steps between two runs; a lazy phase's losses already
    carry that gain. ``twice``: the loss differentiates a gradient, which compiled networks cannot. ``traces``: networks
    that run here and are updated through this very run by a later phase of the step, one that is not ``batched``: it
    gets None for a batch.
    """

    name: str
    losses: Callable[[Any, Rng], Losses]
    updates: str
    repeat: int = 1
    every: int = 1
    twice: bool = False
    traces: tuple[str, ...] = ()
    batched: bool = True
    role: Role = "model"
    weighting: Literal["example", "batch"] = "example"


class Objective:
    """Owns named networks and lists the phases of a training step."""

    networks: dict[str, nn.Module]
    """What is optimized and saved. The trainer may put wrapped networks (compiled, distributed) in their place."""

    averaged: tuple[str, ...] = ()
    """Networks whose exponential moving average the trainer keeps."""

    per_process: tuple[str, ...] = ()
    """Names in ``state`` that are each process's own; all others are the same in every process."""

    statistics: dict[str, Tensor]
    """Cheap scalars of the latest step, read by the doctor."""

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """What is neither weight nor gradient and must survive a restart: running means, pools, an adapted strength.

        Named tensors of fixed shapes, changed in place; the trainer moves them to the device and saves them with each
        checkpoint. After each step it averages the floating ones over all processes, except ``per_process`` ones: a
        mean that each process moves by its own batch is then that of all their batches.
        """
        return {}

    def phases(self) -> Iterator[Phase]:
        """The phases of one step, in order."""
        raise NotImplementedError

    def compile(self) -> None:
        """What to compile beside the networks, where those are; nothing by default."""

    def advance(self, samples_seen: int) -> None:
        """Before a step: become what this point of training asks for; nothing by default.

        It depends on ``samples_seen`` alone, what all steps so far have seen in all processes (in the unit of the
        training), so that a resumed run continues as it would have.
        """

    def after_update(self, network: str) -> None:
        """What follows each update of a network (weight clipping); nothing by default."""

    def observe(self, train: Any, heldout: Any | None, rng: Rng) -> dict[str, Tensor]:
        """Scalars for the doctor, once a log line, changing nothing; ``heldout`` was never trained on."""
        return {}
