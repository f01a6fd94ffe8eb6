"""The trainer: runs an objective's phases, and keeps what is needed to go on from any step.

It knows phases, networks and batches, and nothing of GANs.
"""

from __future__ import annotations

import contextlib
import copy
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
from luoxia.training import checkpoint, objective_state, optimisers
from luoxia.training.checkpoint import Checkpoint
from luoxia.training.checkpoint_average import CheckpointAverage, averaged_steps
from luoxia.training.distributed import World
from luoxia.training.ema import EMA
from luoxia.training.hardware import autocast, seed_device
from luoxia.training.sharding import check_shardable, collect, load_weights, local, shard, whole

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
        self.views: dict[str, nn.Module] = {}
        self.averages = self._make_averages()
        objective_state.place(objective, world.device)
        self.phases = list(objective.phases())
        if self.sharded:
            self._shard()
        self.parameters = {  # what is frozen from the beginning stays so
            name: [p for p in network.parameters() if p.requires_grad]
            for name, network in self.networks.items()
        }
        self.frozen = {name: keys for name, network in self.networks.items() if (keys := _frozen(network))}
        self.optimisers = {name: self._make_optimiser(name) for name in self.networks}
        self.tally = Tally()
        if compiled and not self.sharded:
            for network in self.networks.values():
                network.compile()
        objective.networks = {
            name: network if self.sharded else world.wrap(network) for name, network in self.networks.items()
        }

    # ------------------------------------------------------------------ one step

    def step(self) -> None:
        """Every phase that is due, then the averages."""
        step = self.progress.step
        seed_device(self.world.device, hashed(self.recipe.seed, "step", step, self.world.rank))  # dropout
        self._follow_schedule()
        self.objective.advance(self.images_seen)
        for phase in self.phases:
            if step % phase.every == 0:
                for repetition in range(phase.repeat):
                    self._update(phase, step // phase.every * phase.repeat + repetition)
        objective_state.agree(self.objective, self.world)
        images, every = self.images_per_step, self.recipe.ema.every
        if (step + 1) % every == 0:
            for average in self._moving().values():
                average.update(images * every, self.images_seen + images)
        for name, value in self.objective.statistics.items():
            self.tally.statistics.setdefault(name, []).append(value)
        self.tally.images += images
        self.progress.step += 1

    @property
    def images_per_step(self) -> int:
        """Real images that the averages count for a step, over all processes."""
        return self.recipe.batch * self.recipe.accumulate * self.world.size

    @property
    def images_seen(self) -> int:
        """Real images of all steps so far, over all processes."""
        return self.progress.step * self.images_per_step

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
        if (
            self.world.device.type == "cpu" or self.sharded
        ):  # shards: torch's kernels do not decide for all of them
            if math.isfinite(norm.item()):
                optimiser.step()
        else:  # skips on the device, without waiting for the answer
            optimiser.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
            optimiser.grad_scale = None  # type: ignore[attr-defined]
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
        if self.sharded:
            network.set_requires_gradient_sync(last)
            return contextlib.nullcontext()
        return contextlib.nullcontext() if last or self.world.size == 1 else network.no_sync()

    def _follow_schedule(self) -> None:
        schedule = self.recipe.schedule
        share = self.images_seen / schedule.images if schedule.images else self.fraction
        factor = optimisers.schedule_factor(schedule, self.progress.step, share) * self.progress.lr_scale
        for optimiser in self.optimisers.values():
            optimisers.follow_schedule(optimiser, self.recipe.optimiser, factor, share)

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
            "images": self.images_seen,
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
        """Whether every weight, buffer, average and the objective's state is."""
        modules: list[nn.Module] = [*self.networks.values(), *(a.module for a in self.averages.values())]
        tensors = [local(t) for m in modules for t in m.state_dict().values()]
        floating = [t for t in (*tensors, *self.objective.state.values()) if t.is_floating_point()]
        return bool(torch.stack([t.detach().sum().float() for t in floating]).isfinite().all())

    # ------------------------------------------------------------------ save and go on

    def save(self) -> None:
        """Write a checkpoint of the present step: all processes together collect it, the main one writes."""
        groups = {
            **{name: network.state_dict() for name, network in self.networks.items()},
            **{f"ema_{name}": average.module.state_dict() for name, average in self._moving().items()},
            **{f"optimiser_{name}": optimisers.state_tensors(o) for name, o in self.optimisers.items()},
        }
        frozen = {name: {key: groups[name].pop(key) for key in keys} for name, keys in self.frozen.items()}
        for name in self._moving():
            for key in self.frozen.get(name, ()):
                del groups[f"ema_{name}"][key]  # the average of what stays the same
        collected = {name: collect(group, self.world.main) for name, group in groups.items()}
        if self.objective.state:
            collected["objective"] = objective_state.collect(self.objective, self.world)
        if not self.world.main:
            return
        state = {
            "seconds": self.progress.seconds,
            "rollbacks": self.progress.rollbacks,
            "lr_scale": self.progress.lr_scale,
            "world_size": self.world.size,
        }
        step, recipe = self.progress.step, self.recipe
        spared = averaged_steps(step, recipe.checkpoint_every, recipe.average_checkpoints)
        checkpoint.save(self.folder, step, collected, state, recipe.keep, spared, frozen)
        self._average_checkpoints()

    def restore(self, saved: Checkpoint) -> None:
        """Become what ``save`` wrote, to the bit."""
        try:
            for name, network in self.networks.items():
                load_weights(network, saved.tensors[name])
            for name, average in self._moving().items():
                load_weights(average.module, saved.tensors[f"ema_{name}"])
            for name, optimiser in self.optimisers.items():
                optimisers.load_state_tensors(optimiser, saved.tensors[f"optimiser_{name}"])
            objective_state.restore(self.objective, saved.tensors.get("objective", {}), self.world)
        except (KeyError, RuntimeError, IndexError) as error:
            first = str(error).splitlines()[0]
            raise LuoxiaError(f"the checkpoint does not fit this recipe's networks: {first}") from None
        state = saved.state
        self.progress = Progress(saved.step, state["seconds"], state["rollbacks"], state["lr_scale"])
        self.tally = Tally()
        self._average_checkpoints()
        self.gather()

    def _average_checkpoints(self) -> None:
        """Average those on disk, in the main process: it alone samples, measures and exports."""
        recipe, step = self.recipe, self.progress.step
        steps = averaged_steps(
            step, recipe.checkpoint_every, recipe.average_checkpoints, last=self.fraction >= 1.0
        )
        for name, average in self.averages.items():
            if isinstance(average, CheckpointAverage) and self.world.main:
                average.take(checkpoint.load_network(self.folder, steps, name))

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

    # ------------------------------------------------------------------ shards

    def shown(self, name: str) -> nn.Module:
        """What is sampled, measured and exported of a network, in the main process: its average if there is one.

        Of a sharded network it is the whole copy that ``gather`` last collected.
        """
        average = self.averages.get(name)
        if name in self.views and not isinstance(average, CheckpointAverage):
            return self.views[name]
        return average.module if average else self.networks[name]

    @torch.no_grad()
    def gather(self) -> None:
        """Collect the shards of what is sampled in the main process; all processes must call it."""
        if not self.sharded:
            return
        for name, network in self.networks.items():
            moving = self._moving().get(name)
            source = (moving.module if moving else network).state_dict()
            view = self.views[name].state_dict() if self.world.main else {}
            for key, value in source.items():
                full = whole(value)
                if self.world.main:
                    view[key].copy_(full)

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the network only."""
        return self.recipe.shard and self.world.size > 1

    def _shard(self) -> None:
        """Cut networks and averages up; the main process keeps whole copies to sample from."""
        check_shardable(self.networks)
        for name, network in self.networks.items():
            if self.world.main:
                self.views[name] = copy.deepcopy(network).eval().requires_grad_(False)
            for average in self.averages.values():
                if isinstance(average, CheckpointAverage) and self.world.main:
                    average.follow(self.views[name])
            shard(network, self.world)
        for moving in self._moving().values():
            shard(moving.module, self.world)

    # ------------------------------------------------------------------ construction

    def _placed(self, network: nn.Module) -> nn.Module:
        network = network.to(self.world.device).train()
        has_images = any(p.dim() == 4 for p in network.parameters())
        if has_images:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _make_averages(self) -> dict[str, EMA | CheckpointAverage]:
        settings, names = self.recipe.ema, self.objective.averaged
        if self.recipe.average_checkpoints:
            return {name: CheckpointAverage(self.networks[name]) for name in names}
        if settings.halflife == 0:
            return {}
        course = self.recipe.schedule.images
        return {name: EMA(self.networks[name], settings.halflife, settings.ramp, course) for name in names}

    def _moving(self) -> dict[str, EMA]:
        """The averages that follow each step."""
        return {name: average for name, average in self.averages.items() if isinstance(average, EMA)}

    def _make_optimiser(self, name: str) -> torch.optim.Optimizer:
        lr = self.recipe.learning_rates().get(name, self.recipe.lr)
        own = [phase for phase in self.phases if phase.updates == name]
        lazy = max((phase.every for phase in own), default=1)
        if lazy > 1:  # updates between two lazy ones, not steps
            lazy *= max(1, sum(phase.repeat for phase in own if phase.every == 1))
        optimiser = optimisers.make_optimiser(self.networks[name], self.recipe.optimiser, lr, lazy)
        for group in optimiser.param_groups:
            group["initial_lr"], group["lazy_ratio"] = group["lr"], optimisers.lazy_ratio(lazy)
        return optimiser


def _frozen(network: nn.Module) -> list[str]:
    """The names of the parameters that are not trained."""
    return [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
