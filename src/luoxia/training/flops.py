"""Floating-point operations: what a training step computes, and what its device could."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from luoxia.training.checkpoint import load_latest

if TYPE_CHECKING:
    from luoxia.training.trainer import Trainer

Peak = dict[str, float]
"""Operations a second by number format, in units of 10¹²."""

PEAKS: tuple[tuple[str, Peak], ...] = (
    ("GB200", {"bf16": 2500, "tf32": 1250, "fp32": 80}),
    ("B200", {"bf16": 2250, "tf32": 1125, "fp32": 75}),
    ("H200 NVL", {"bf16": 835.5, "tf32": 417.5, "fp32": 60}),
    ("H200", {"bf16": 989.4, "tf32": 494.7, "fp32": 66.9}),
    ("GH200", {"bf16": 989.4, "tf32": 494.7, "fp32": 66.9}),
    ("H100 NVL", {"bf16": 835.5, "tf32": 417.5, "fp32": 60}),
    ("H100 PCIe", {"bf16": 756, "tf32": 378, "fp32": 51.2}),
    ("H100", {"bf16": 989.4, "tf32": 494.7, "fp32": 66.9}),
    ("A100", {"bf16": 312, "tf32": 156, "fp32": 19.5}),
    ("A10", {"bf16": 125, "tf32": 62.5, "fp32": 31.2}),
    ("L40S", {"bf16": 362, "tf32": 183, "fp32": 91.6}),
    ("L4", {"bf16": 121, "tf32": 60, "fp32": 30.3}),
    ("RTX 4090", {"bf16": 165.2, "tf32": 82.6, "fp32": 82.6}),
    ("RTX 3090", {"bf16": 71, "tf32": 35.6, "fp32": 35.6}),
    ("V100 PCIE", {"fp32": 14}),
    ("V100", {"fp32": 15.7}),
    ("T4", {"fp32": 8.1}),
)
"""Dense matrices, accumulated in float32, at boost clock (datasheets give those of sparse ones, twice as much).

From NVIDIA's datasheets of each (nvidia.com/data-center; of GB200 and B200 that of Blackwell, nvdam.widen.net
wwnsxrhm2w, and of HGX B200, an eighth), and for the RTX from the whitepapers on GA102 and Ada. A device is the first
whose words are all in ``torch.cuda.get_device_name``.
"""
BESIDE = re.compile(r"NVIDIA|Tesla|GeForce|PCIe|PCIE|SXM\d|HBM\d\w?|\d+GB", re.ASCII)
"""Words of a name that say nothing of the speed. Any other tells of a part of the device (MIG), or of its kin (Ti)."""


def peak_flops(name: str, dtype: torch.dtype, *, tf32: bool) -> float | None:
    """What a device of this name computes at most, in operations a second; None where it is not in the table.

    >>> peak_flops("NVIDIA H100 80GB HBM3", torch.bfloat16, tf32=True)
    989400000000000.0
    >>> peak_flops("NVIDIA A100-SXM4-40GB MIG 1g.5gb", torch.bfloat16, tf32=True)

    ``tf32``: whether float32 matrices and convolutions may be rounded to TF32, as PyTorch does by default in
    convolutions.
    """
    words = set(name.replace("-", " ").split())
    known = next((entry for entry in PEAKS if set(entry[0].split()) <= words), ("", {}))
    unlike = [word for word in words - set(known[0].split()) if not BESIDE.fullmatch(word)]
    formats: Peak = {} if unlike else known[1]
    if dtype == torch.bfloat16:
        peak = formats.get("bf16")
    else:
        peak = formats.get("tf32" if tf32 and "tf32" in formats else "fp32")
    return None if peak is None else peak * 1e12


def device_peak(device: torch.device, dtype: torch.dtype) -> float | None:
    """``peak_flops`` of this device under the present settings; None of a CPU, whose peak nothing tells."""
    if device.type != "cuda":
        return None
    tf32 = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    return peak_flops(torch.cuda.get_device_name(device), dtype, tf32=tf32)


class FlopCounter(FlopCounterMode):
    """Torch's counter without its attribution to modules, whose hooks forbid gradients of gradients."""

    class _NoModules(contextlib.nullcontext[None]):
        parents = frozenset({"Global"})

    def __init__(self) -> None:
        super().__init__(display=False)
        self.mod_tracker = self._NoModules()  # type: ignore[assignment]


class FlopMeter:
    """The operations of a training, and their share of what its device could do in the same time."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.peak = device_peak(device, dtype)
        self.per_weight: dict[str, float] = {}
        """Operations of an update of each phase over the weight of its batches; {} where they are not counted."""

    def count(self, trainer: Trainer) -> None:
        """Count each phase's operations, forward and backward, if the peak is known: in a step that is then undone.

        All phases of step 0, at which each is due, run once, as written where they are compiled; then the newest
        checkpoint, which must be of the present step, is restored.
        """
        if self.peak is None:
            return
        saved = load_latest(trainer.folder)
        if saved.step != trainer.progress.step:  # its weights were not finite
            return
        trainer.progress.step = 0
        counts: dict[str, float] = {}
        with (
            contextlib.suppress(Exception),
            trainer.as_written(),
        ):  # an unknown operation: no share
            trainer.begin_step()
            for phase in trainer.phases:
                with FlopCounter() as counter:
                    weighing, _ = trainer.accumulate(phase, 0)
                counts[phase.name] = counter.get_total_flops() / max(weighing.weight, 1)
                for parameter in trainer.parameters[phase.updates]:
                    parameter.grad = None
                trainer.objective.after_update(phase.updates)
            self.per_weight = counts
        trainer.restore(saved)
        if trainer.world.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(trainer.world.device)

    def of(self, phase: str, weight: int) -> float:
        """Operations of an update of a phase on batches of this weight."""
        return self.per_weight.get(phase, 0.0) * weight

    def share(self, operations: float, seconds: float) -> float | None:
        """Operations in so many seconds, over the device's peak; None where either is unknown."""
        if self.peak is None or not self.per_weight or seconds <= 0:
            return None
        return operations / (seconds * self.peak)
