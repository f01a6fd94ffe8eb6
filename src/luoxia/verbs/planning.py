"""The calls behind ``--dry-run``: what a training would do and cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from luoxia import registry
from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.training.distributed import World
from luoxia.training.hardware import choose_device, peak_memory
from luoxia.training.recipe import Recipe
from luoxia.training.session import count
from luoxia.training.trainer import Trainer
from luoxia.verbs.course import how_many_skipped, settled_session

FLOAT = 4
"""Bytes of a weight, of its gradient, of each moment."""
MOMENTS = {"adam": 2, "adamw": 2, "muon": 2, "rmsprop": 1, "sgd": 0}
"""Numbers that an optimizer keeps for each weight, at most; momentum of sgd and rmsprop is one more."""


def plan(config: Recipe, *, measured: bool) -> dict[str, Any]:
    """What a training would do; see ``luoxia.plan``."""
    task, display, world = (
        registry.task_of(config),
        Display(quiet=True),
        World(0, 1, choose_device(config.device)),
    )
    data = task.open(config, display)
    session = settled_session(config, Run(Path(config.out or "runs"), {}), data, world, display)
    resolved, trainer = session.recipe, session.trainer
    each = seconds_per_step(trainer) if measured else None
    session.stage.close()
    ends = [resolved.budget, None if None in (each, resolved.steps) else each * resolved.steps]
    return {
        "recipe": config.name or type(config).__name__,
        "config": resolved.model_dump(mode="json"),
        "data": {
            "description": task.describe(data),
            "skipped": how_many_skipped(config, data),
            "source": data.source,
            "count": len(data),
            "fingerprint": data.fingerprint,
        },
        "parameters": {name: count(network) for name, network in trainer.networks.items()},
        "plan": "measured" if measured else "estimated",
        "seconds_per_step": each,
        "seconds": min((end for end in ends if end is not None), default=None),
        "memory_bytes": peak_memory(world.device) if measured else weights_memory(trainer),
        **({"origin": session.origin} if session.origin else {}),
    }


def weights_memory(trainer: Trainer) -> int:
    """Bytes of weights, gradients, what the optimizer keeps, and averages; activations come on top."""
    optimizer = trainer.recipe.optimizer
    kept = MOMENTS[optimizer.name] + (optimizer.name in ("sgd", "rmsprop") and optimizer.momentum > 0)
    learned = sum(p.numel() for n in trainer.networks.values() for p in n.parameters() if p.requires_grad)
    whole = sum(map(count, trainer.networks.values()))
    averaged = sum(count(average.module) for average in trainer.averages.values())
    return FLOAT * (whole + averaged + learned * (1 + kept))


def seconds_per_step(trainer: Trainer, steps: int = 4) -> float:
    """Measured on a few steps: those without lazy phases, and the share of each of these."""
    _seconds(trainer, 0, 1)  # what is allocated once
    plain = _seconds(trainer, 1, steps) / steps
    extra: dict[int, float] = {}
    for every in sorted({phase.every for phase in trainer.phases} - {1}):
        due = sum(more for other, more in extra.items() if every % other == 0)
        extra[every] = max(0.0, _seconds(trainer, every, 1) - plain - due)
    return plain + sum(more / every for every, more in extra.items())


def _seconds(trainer: Trainer, number: int, steps: int) -> float:
    """How long so many steps take that are all step ``number``, the device's work included."""
    began = time.perf_counter()
    for _ in range(steps):
        trainer.progress.step = number
        trainer.step()
    if trainer.world.device.type == "cuda":
        torch.cuda.synchronize(trainer.world.device)
    return time.perf_counter() - began
