"""The objective's own tensors (``Objective.state``): one value over all processes, saved and put back."""

from __future__ import annotations

import torch
from torch import Tensor

from luoxia.training.distributed import World
from luoxia.training.objective import Objective


def place(objective: Objective, device: torch.device) -> None:
    """Move the state to the device, in the dict that the objective's parts share."""
    for name, value in objective.state.items():
        objective.state[name] = value.to(device)


@torch.no_grad()
def agree(objective: Objective, world: World) -> None:
    """Average what all processes share; integers are functions of the step, the same everywhere already."""
    for name, value in objective.state.items():
        if value.is_floating_point() and name not in objective.per_process:
            world.average_(value)


def collect(objective: Objective, world: World) -> dict[str, Tensor]:
    """What a checkpoint keeps, in every process: a process's own tensors are stacked, (processes, …)."""
    own = objective.per_process
    return {n: world.stack(v) if n in own else v for n, v in objective.state.items()}


@torch.no_grad()
def restore(objective: Objective, saved: dict[str, Tensor], world: World) -> None:
    """Become what ``collect`` returned; ``KeyError`` or ``RuntimeError`` when it is another objective's.

    In a world of another size a process continues from one of the saved states, in turn.
    """
    if saved.keys() != objective.state.keys():
        raise KeyError(f"state {sorted(saved.keys() ^ objective.state.keys())}")
    for name, value in objective.state.items():
        found = saved[name]
        value.copy_(found[world.rank % len(found)] if name in objective.per_process else found)
