"""Many processes as one: set up by ``torchrun``, nothing to do without it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from luoxia.core.errors import LuoxiaError, ReportedByOtherRankError
from luoxia.training.hardware import choose_device

Made = TypeVar("Made")
HANGS = timedelta(minutes=10)
"""How long an exchange within a step may take before the others give up."""
WORKS = timedelta(hours=12)
"""How long a process may work alone while the others wait; torchrun ends them at once if it dies."""


@dataclass(frozen=True)
class World:
    """This process's place among all."""

    rank: int
    size: int
    device: torch.device
    patient: Any = None
    """The group in which processes wait for one that works alone (decodes, samples, measures); None: that of all."""

    @property
    def main(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """Average this network's gradients over all processes after each backward pass.

        Buffers stay each process's own: broadcasting them in place between D(real) and D(fake) would invalidate the
        first graph. Batch statistics are therefore those of the local batch; the main process's are saved.
        """
        if self.size == 1:
            return network
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)

    def any(self, flag: bool) -> bool:
        """True everywhere if ``flag`` is true anywhere. Patient, as ``run_collectively`` and ``barrier`` are."""
        if self.size == 1:
            return flag
        tensor = torch.tensor([float(flag)])
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self.patient)
        return bool(tensor.item())

    def broadcast(self, value: float) -> float:
        """The main process's value, everywhere."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(tensor, src=0)
        return float(tensor.item())

    def broadcast_text(self, text: str) -> str:
        """The main process's text, everywhere."""
        if self.size == 1:
            return text
        data = list(os.fsencode(text))
        buffer = torch.zeros(int(self.broadcast(len(data))), dtype=torch.uint8)
        if self.main:
            buffer.copy_(torch.tensor(data, dtype=torch.uint8))
        dist.broadcast(buffer, src=0)
        return os.fsdecode(bytes(buffer.tolist()))

    def run_collectively(self, make: Callable[[], Made]) -> Made:
        """What ``make`` returns in this process, once it has returned in all.

        If it fails in any, the first of these raises its own ``LuoxiaError``, all others ``ReportedByOtherRankError``.
        """
        if self.size == 1:
            return make()
        error = None
        try:
            made = make()
        except LuoxiaError as caught:
            error = caught
        code = 0 if error is None else error.exit_code
        failures = torch.tensor([-1 if error is None else self.size - self.rank, code])
        dist.all_reduce(failures, op=dist.ReduceOp.MAX, group=self.patient)
        if error is not None and failures[0] == self.size - self.rank:
            raise error
        if failures[0] > 0:
            raise ReportedByOtherRankError(int(failures[1]))
        return made

    def mean(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each scalar averaged over all processes."""
        if self.size == 1 or not values:
            return values
        stacked = torch.stack([v.detach().float().cpu() for v in values.values()])
        dist.all_reduce(stacked)
        return dict(zip(values, (stacked / self.size).unbind(), strict=True))

    def adding(self, *counts: int) -> Callable[[], list[int]]:
        """Start to add counts over all processes; what is returned waits for the sums. No device takes part."""
        if self.size == 1:
            return lambda: list(counts)
        sums = torch.tensor(counts)
        work = dist.all_reduce(sums, async_op=True)

        def wait() -> list[int]:
            work.wait()
            return [int(value) for value in sums.tolist()]

        return wait

    def average_(self, tensor: Tensor) -> None:
        """Replace a tensor by its mean over all processes, the same bits in each."""
        if self.size > 1:
            dist.all_reduce(tensor)
            tensor /= self.size

    def stack(self, tensor: Tensor) -> Tensor:
        """(processes, …): every process's tensor of one shape, in the order of ranks."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def barrier(self) -> None:
        """Wait for all."""
        if self.size > 1:
            dist.barrier(group=self.patient)


def join_world(device: str) -> World:
    """Read torchrun's environment; a world of one without it. CPU tensors go by gloo, CUDA tensors by NCCL."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(0, 1, choose_device(device))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device)
    if chosen.type == "cuda":
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=HANGS)
        patient = dist.new_group(backend="gloo", timeout=WORKS)
    else:
        patient = None
    return World(dist.get_rank(), size, chosen, patient)


def leave_world() -> None:
    """Release the connections."""
    if dist.is_initialized():
        dist.destroy_process_group()
