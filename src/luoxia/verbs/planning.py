"""The calls behind ``--dry-run``: what a training would do and cost."""

from __future__ import annotations

import tempfile
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
from luoxia.training.session import Session, count
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
    with tempfile.TemporaryDirectory() as folder:  # where a stage, untrained, leaves what the next one needs
        session = settled_session(config, Run(Path(folder), {}), data, world, display)
        stages, origins = [_plan_of(session, measured)], [session.origin]
        while not session.last:
            session.trainer.progress.seconds = stages[-1]["seconds"] or 0.0
            session.advance()
            stages.append(_plan_of(session, measured))
            origins.append(session.origin)
    seconds = [stage["seconds"] for stage in stages]
    networks = {name: report for origin in origins for name, report in origin.get("networks", {}).items()}
    return {
        "recipe": config.name or type(config).__name__,
        "config": session.recipe.model_dump(mode="json"),
        "data": {
            "description": task.describe(data),
            "skipped": how_many_skipped(config, data),
            "source": data.source,
            "count": len(data),
            "fingerprint": data.fingerprint,
        },
        "plan": "measured" if measured else "estimated",
        "parameters": {name: n for stage in stages for name, n in stage["parameters"].items()},
        "seconds_per_step": stages[-1]["seconds_per_step"],
        "seconds": None if None in seconds else sum(seconds),
        "memory_bytes": max(stage["memory_bytes"] or 0 for stage in stages) or None,
        **({"stages": stages} if len(stages) > 1 else {}),
        **({"origin": {**origins[0], "networks": networks}} if origins[0] else {}),
    }


def _plan_of(session: Session, measured: bool) -> dict[str, Any]:
    """What the stage that a session is in would do; its ``budget`` is its share, and what is left over before it."""
    trainer, recipe = session.trainer, session.context.recipe
    each = seconds_per_step(trainer) if measured else None
    session.stage.close()
    ends = [recipe.budget, None if None in (each, recipe.steps) else each * recipe.steps]
    return {
        "stage": type(session.stage).name,
        "parameters": {name: count(network) for name, network in trainer.networks.items()},
        "steps": recipe.steps,
        "budget": recipe.budget,
        "seconds_per_step": each,
        "seconds": min((end for end in ends if end is not None), default=None),
        "memory_bytes": peak_memory(session.world.device) if measured else weights_memory(trainer),
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
