"""The trainer: runs an objective's phases, and keeps what is needed to go on from any step.

It knows phases, networks and batches, and nothing of GANs.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from luoxia.errors import LuoxiaError
from luoxia.objectives.base import Batch, Objective, Phase, Rng, hashed
from luoxia.recipe import Recipe
from luoxia.training import checkpoint, optimisers
from luoxia.training.checkpoint import Checkpoint
from luoxia.training.distributed import World
from luoxia.training.ema import EMA
from luoxia.training.hardware import autocast, seed_device

ROLLBACKS = 3
"""Roll-backs, each at half the learning rate, before training gives up."""


@dataclass
class Progress:
    """How far training is: everything that resuming needs besides tensors."""

    step: int = 0
    seconds: float = 0.0  # set by the loop, whose log, samples and scores count too
    rollbacks: int = 0
    lr_scale: float = 1.0


@dataclass
class Tally:
    """What accumulates between two log lines, on the device, unread until then."""

    losses: dict[str, dict[str, list[Tensor]]] = field(default_factory=dict)
    gradients: dict[str, list[Tensor]] = field(default_factory=dict)
    statistics: dict[str, list[Tensor]] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    images: int = 0

    def add(self, phase: str, losses: dict[str, Tensor], norm: Tensor) -> None:
        """One update."""
        named = self.losses.setdefault(phase, {})
        for name, value in losses.items():
            named.setdefault(name, []).append(value.detach())
        self.gradients.setdefault(phase, []).append(norm)


class Trainer:
    """Trains an objective on batches.

    ``batches(phase, index)`` gives batch ``index`` of a phase; ``folder`` is where checkpoints go.
    """

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        batches: Callable[[Phase, int], Batch],
        world: World,
        folder: Any,
        dtype: torch.dtype,
        *,
        compiled: bool = False,
    ) -> None:
        self.objective = objective
        self.recipe = recipe
        self.batches = batches
        self.world = world
        self.folder = folder
        self.dtype = dtype
        self.compiled = compiled
        self.progress = Progress()
        self.networks = {name: self._placed(network) for name, network in objective.networks.items()}
        self.parameters = {name: list(network.parameters()) for name, network in self.networks.items()}
        self.averages = self._make_averages()
        self.phases = list(objective.phases())
        self.optimisers = {name: self._make_optimiser(name) for name in self.networks}
        self.tally = Tally()
        if compiled:
            for network in self.networks.values():
                network.compile()
        objective.networks = {name: world.wrap(network) for name, network in self.networks.items()}

    # ------------------------------------------------------------------ one step

    def step(self) -> None:
        """Every phase that is due, then the averages."""
        step = self.progress.step
        seed_device(self.world.device, hashed(self.recipe.seed, "step", step, self.world.rank))  # dropout
        self._set_learning_rates()
        for phase in self.phases:
            if step % phase.every == 0:
                for repetition in range(phase.repeat):
                    self._update(phase, step // phase.every * phase.repeat + repetition)
        images = self.images_per_step
        for average in self.averages.values():
            average.update(images, images * (step + 1))
        for name, value in self.objective.statistics.items():
            self.tally.statistics.setdefault(name, []).append(value)
        self.tally.images += images
        self.progress.step += 1

    @property
    def images_per_step(self) -> int:
        """Real images that the averages count for a step, over all processes."""
        return self.recipe.batch * self.recipe.accumulate * self.world.size

    def _update(self, phase: Phase, number: int) -> None:
        """Accumulate gradients of one phase and apply them."""
        for name, parameters in self.parameters.items():
            for parameter in parameters:
                parameter.requires_grad = name == phase.updates or name in phase.traces
        accumulate = self.recipe.accumulate
        for part in range(accumulate):
            index = number * accumulate + part
            rng = Rng(hashed(self.recipe.seed, phase.name, index, self.world.rank), self.world.device)
            batch = self.batches(phase, index) if phase.batched else None
            with self._synchronising(phase, last=part == accumulate - 1):
                with self._mode(phase), autocast(self.world.device, self.dtype):
                    losses = phase.losses(batch, rng)
                (sum(losses.values(), torch.zeros((), device=self.world.device)) / accumulate).backward()  # type: ignore[no-untyped-call]
        norm = self._apply(phase.updates)
        self.objective.after_update(phase.updates)
        self.tally.add(phase.name, losses, norm)

    def _apply(self, name: str) -> Tensor:
        """Clip, step unless a gradient is not finite, and clear; returns the gradient's norm before clipping."""
        optimiser, parameters = self.optimisers[name], self.parameters[name]
        norm = optimisers.gradient_norm(parameters)
        if self.recipe.optimiser.clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.recipe.optimiser.clip, norm)
        if optimiser.defaults.get("fused"):  # skips on the device, without waiting for the answer
            optimiser.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
            optimiser.grad_scale = None  # type: ignore[attr-defined]
            optimiser.step()
        elif math.isfinite(norm.item()):
            optimiser.step()
        for parameter in parameters:
            parameter.grad = None
        return norm

    def _mode(self, phase: Phase) -> contextlib.AbstractContextManager[Any]:
        """A compiled network cannot be differentiated twice: such phases run it as written."""
        if self.compiled and phase.twice:
            eager: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
            return eager
        return contextlib.nullcontext()

    def _synchronising(self, phase: Phase, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Exchange gradients between processes with the last accumulated batch only."""
        network: Any = self.objective.networks[phase.updates]
        return contextlib.nullcontext() if last or self.world.size == 1 else network.no_sync()

    def _set_learning_rates(self) -> None:
        factor = optimisers.schedule_factor(self.recipe.schedule, self.progress.step, self.fraction)
        factor *= self.progress.lr_scale
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * factor

    @property
    def fraction(self) -> float:
        """How much of the run is over, in [0, 1]: by steps, or by time where a budget ends it sooner."""
        by_time = self.progress.seconds / self.recipe.budget if self.recipe.budget else 0.0
        return min(1.0, max(self.progress.step / self.recipe.steps, by_time))

    # ------------------------------------------------------------------ the log

    def read_tally(self) -> dict[str, Any]:
        """The means since the last call, one log line's content; waits for the device."""
        tally, self.tally = self.tally, Tally()
        means = {
            **{
                f"losses/{p}/{n}": torch.stack(v).float().mean()
                for p, d in tally.losses.items()
                for n, v in d.items()
            },
            **{f"gradients/{p}": torch.stack(v).float().nanmean() for p, v in tally.gradients.items()},
            **{f"statistics/{n}": torch.stack(v).float().mean() for n, v in tally.statistics.items()},
            **{
                f"skipped/{p}": (~torch.stack(v).isfinite()).float().mean()
                for p, v in tally.gradients.items()
            },
        }
        values = {key: value.item() for key, value in self.world.mean(means).items()}
        elapsed = time.perf_counter() - tally.started
        return {
            "images": self.progress.step * self.images_per_step,
            "rate": round(tally.images / max(elapsed, 1e-9), 1),
            "losses": {
                p.name: {n: values[f"losses/{p.name}/{n}"] for n in tally.losses[p.name]}
                for p in self.phases
                if p.name in tally.losses
            },
            "gradients": {p: values[f"gradients/{p}"] for p in tally.gradients},
            "skipped": max((values[f"skipped/{p}"] for p in tally.gradients), default=0.0),
            "lr": {name: o.param_groups[0]["lr"] for name, o in self.optimisers.items()},
            "statistics": {n: values[f"statistics/{n}"] for n in tally.statistics},
        }

    def is_finite(self) -> bool:
        """Whether every weight, buffer and average is."""
        modules: list[nn.Module] = [*self.networks.values(), *(a.module for a in self.averages.values())]
        tensors = [t for m in modules for t in m.state_dict().values() if t.is_floating_point()]
        return bool(torch.stack([t.detach().sum() for t in tensors]).isfinite().all())

    # ------------------------------------------------------------------ save and go on

    def save(self) -> Any:
        """Write a checkpoint of the present step (main process only)."""
        tensors = {
            **{name: dict(network.state_dict()) for name, network in self.networks.items()},
            **{f"ema_{name}": dict(average.module.state_dict()) for name, average in self.averages.items()},
            **{f"optimiser_{name}": optimisers.state_tensors(o) for name, o in self.optimisers.items()},
        }
        state = {
            "seconds": self.progress.seconds,
            "rollbacks": self.progress.rollbacks,
            "lr_scale": self.progress.lr_scale,
            "world_size": self.world.size,
        }
        return checkpoint.save(self.folder, self.progress.step, tensors, state, self.recipe.keep)

    def restore(self, saved: Checkpoint) -> None:
        """Become what ``save`` wrote, to the bit."""
        try:
            for name, network in self.networks.items():
                network.load_state_dict(saved.tensors[name])
            for name, average in self.averages.items():
                average.module.load_state_dict(saved.tensors[f"ema_{name}"])
            for name, optimiser in self.optimisers.items():
                optimisers.load_state_tensors(optimiser, saved.tensors[f"optimiser_{name}"])
        except (KeyError, RuntimeError, IndexError) as error:
            first = str(error).splitlines()[0]
            raise LuoxiaError(f"the checkpoint does not fit this recipe's networks: {first}") from None
        state = saved.state
        self.progress = Progress(saved.step, state["seconds"], state["rollbacks"], state["lr_scale"])
        self.tally = Tally()

    def roll_back(self, reason: str) -> str:
        """Return to the last checkpoint at half the learning rate; ``LuoxiaError`` after too many times."""
        rollbacks, scale, seconds = self.progress.rollbacks, self.progress.lr_scale, self.progress.seconds
        if rollbacks >= ROLLBACKS:
            raise LuoxiaError(
                f"training stopped at step {self.progress.step}: {reason}, again after {rollbacks} roll-backs; "
                f"lower lr (now {self.recipe.lr:g}), add penalty=r1, or set precision=fp32"
            )
        self.restore(checkpoint.load_latest(self.folder))
        self.progress.rollbacks, self.progress.lr_scale = rollbacks + 1, scale / 2
        self.progress.seconds = seconds  # a budget counts lost time too
        return (
            f"{reason}: back to step {self.progress.step} with the learning rate × {self.progress.lr_scale:g}"
        )

    # ------------------------------------------------------------------ construction

    def _placed(self, network: nn.Module) -> nn.Module:
        network = network.to(self.world.device).train()
        has_images = any(p.dim() == 4 for p in network.parameters())
        if has_images:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _make_averages(self) -> dict[str, EMA]:
        settings = self.recipe.ema
        if settings.halflife == 0:
            return {}
        return {
            name: EMA(self.networks[name], settings.halflife, settings.ramp)
            for name in self.objective.averaged
        }

    def _make_optimiser(self, name: str) -> torch.optim.Optimizer:
        lr = self.recipe.learning_rates().get(name, self.recipe.lr)
        own = [phase for phase in self.phases if phase.updates == name]
        lazy = max((phase.every for phase in own), default=1)
        if lazy > 1:  # updates between two lazy ones, not steps
            lazy *= max(1, sum(phase.repeat for phase in own if phase.every == 1))
        optimiser = optimisers.make_optimiser(self.networks[name], self.recipe.optimiser, lr, lazy)
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
        return optimiser
