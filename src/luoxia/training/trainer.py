"""The trainer: runs an objective's phases, and keeps what is needed to go on from any step.

It knows phases, networks and batches, and nothing of GANs.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from luoxia.core.errors import LuoxiaError
from luoxia.training import checkpoint, objective_state
from luoxia.training import optimizers as optimizers
from luoxia.training.checkpoint import Checkpoint
from luoxia.training.checkpoint_average import CheckpointAverage, averaged_steps
from luoxia.training.distributed import World
from luoxia.training.ema import EMA
from luoxia.training.flops import FlopMeter
from luoxia.training.hardware import autocast, memory_use, seed_device
from luoxia.training.objective import BatchLike, Objective, Phase, Rng, hashed
from luoxia.training.progress import Progress
from luoxia.training.recipe import Recipe
from luoxia.training.sharding import check_shardable, collect, load_weights, local, shard, whole
from luoxia.training.tally import Tally
from luoxia.training.weighing import Weighing, check_accumulation

ROLLBACKS = 3
"""Roll-backs, each at half the learning rate, before training gives up."""


class Trainer:
    """Trains an objective on batches.

    ``batches(phase, index)`` gives batch ``index`` of a phase; ``folder`` is where checkpoints go.
    """

    def __init__(
        self,
        objective: Objective,
        recipe: Recipe,
        batches: Callable[[Phase, int], BatchLike],
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
        check_accumulation(self.phases, recipe)
        if self.sharded:
            self._shard()
        self.parameters = {  # what is frozen from the beginning stays so
            name: [p for p in network.parameters() if p.requires_grad]
            for name, network in self.networks.items()
        }
        self.frozen = {name: keys for name, network in self.networks.items() if (keys := _frozen(network))}
        self.optimizers = {
            name: optimizers.for_phases(network, name, recipe, self.phases)
            for name, network in self.networks.items()
        }
        self.tally = Tally()
        self.flops = FlopMeter(world.device, dtype)
        if compiled and not self.sharded:
            for network in self.networks.values():
                network.compile()
            objective.compile()
        objective.networks = {
            name: network if self.sharded else world.wrap(network) for name, network in self.networks.items()
        }

    # ------------------------------------------------------------------ one step

    def step(self) -> None:
        """Every phase that is due, then the averages."""
        step = self.progress.step
        self.begin_step()
        for phase in self.phases:
            if step % phase.every == 0:
                for repetition in range(phase.repeat):
                    self._update(phase, step // phase.every * phase.repeat + repetition)
        objective_state.agree(self.objective, self.world)
        self._count()
        self.tally.observe(self.objective.statistics, ends_step=True)
        self.progress.step += 1

    def begin_step(self) -> None:
        """What precedes the phases: this step's seed, learning rates, and what the objective changes with time."""
        step = self.progress.step
        seed_device(self.world.device, hashed(self.recipe.seed, "step", step, self.world.rank))  # dropout
        self._follow_schedule()
        self.objective.advance(self.samples_seen)
        self._weighed: Weighing | None = None  # the step's first, whose batches are what it has seen

    def _count(self) -> None:
        """Add what the step has seen, and let the averages follow if it is their turn."""
        progress, weighed = self.progress, self._weighed
        seen = self.samples_per_step if weighed is None or progress.nominal else weighed.seen
        progress.seen += seen
        self.tally.seen += seen
        if (progress.step + 1) % self.recipe.ema.every == 0:
            for average in self._moving().values():
                average.update(progress.seen - progress.averaged, progress.seen)
            progress.averaged = progress.seen

    @property
    def samples_per_step(self) -> int:
        """Nominal: what a step sees where ``batch`` counts what is seen and is always full."""
        return self.recipe.batch * self.recipe.accumulate * self.world.size

    @property
    def samples_seen(self) -> int:
        """Images, rows or tokens of all steps so far, over all processes."""
        return self.progress.seen

    def _update(self, phase: Phase, number: int) -> None:
        weighing, losses = self.accumulate(phase, number)
        norm = self._apply(phase.updates)
        self.objective.after_update(phase.updates)
        self.tally.add(phase.name, losses, norm)
        self.tally.flops += self.flops.of(phase.name, weighing.weight)

    def accumulate(self, phase: Phase, number: int) -> tuple[Weighing, dict[str, Tensor]]:
        """Compute the gradients of a phase's update ``number``; what its batches count, and its losses."""
        for name, parameters in self.parameters.items():
            for parameter in parameters:
                parameter.requires_grad = name == phase.updates or name in phase.traces
        indices = range(number * self.recipe.accumulate, (number + 1) * self.recipe.accumulate)
        batch = self._draw(phase, indices[0]) if phase.batched and len(indices) == 1 else None
        weighing = self._weigh(
            phase, (batch,) if batch is not None else (self._draw(phase, i) for i in indices)
        )
        sums: dict[str, Tensor] = {}
        for part, index in enumerate(indices):
            rng = Rng(hashed(self.recipe.seed, phase.name, index, self.world.rank), self.world.device)
            if phase.batched and len(indices) > 1:  # counted above, and drawn again: all might not fit
                batch = self._draw(phase, index)
            with self._synchronizing(phase, last=index == indices[-1]):
                with self._mode(phase), autocast(self.world.device, self.dtype):
                    losses = phase.losses(batch, rng)
                divisor = weighing.divisor(part)
                (sum(losses.values(), torch.zeros((), device=self.world.device)) / divisor).backward()  # type: ignore[no-untyped-call]
            for name, value in losses.items():
                share = value.detach() if divisor == 1.0 else value.detach() / divisor
                sums[name] = sums[name] + share if name in sums else share
            self.tally.observe(self.objective.statistics)
        return weighing, sums

    def _draw(self, phase: Phase, index: int) -> BatchLike:
        began = time.perf_counter()
        batch = self.batches(phase, index)
        self.tally.data_seconds += time.perf_counter() - began
        return batch

    def _weigh(self, phase: Phase, batches: Iterable[BatchLike]) -> Weighing:
        """What the parts of an update count; without batches of its own it is made of those of the one before."""
        if phase.batched:
            self._weighing = Weighing(batches, self.world)
            self._weighed = self._weighed or self._weighing
        return self._weighing

    def _apply(self, name: str) -> Tensor:
        """Clip, step unless a gradient is not finite, and clear; returns the gradient's norm before clipping."""
        optimizer, parameters = self.optimizers[name], self.parameters[name]
        norm = optimizers.gradient_norm(parameters)
        if self.recipe.optimizer.grad_clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.recipe.optimizer.grad_clip, norm)
        if (
            self.world.device.type == "cpu" or self.sharded
        ):  # shards: torch's kernels do not decide for all of them
            if math.isfinite(norm.item()):
                optimizer.step()
        else:  # skips on the device, without waiting for the answer
            optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
            optimizer.grad_scale = None  # type: ignore[attr-defined]
            optimizer.step()
        for parameter in parameters:
            parameter.grad = None
        return norm

    def _mode(self, phase: Phase) -> contextlib.AbstractContextManager[Any]:
        """A compiled network cannot be differentiated twice: such phases run it as written."""
        return self.as_written() if phase.twice else contextlib.nullcontext()

    def as_written(self) -> contextlib.AbstractContextManager[Any]:
        """Compiled networks run here as they are written: for what is asked too seldom to repay a compilation."""
        if self.compiled:
            eager: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
            return eager
        return contextlib.nullcontext()

    def _synchronizing(self, phase: Phase, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Exchange gradients between processes with the last accumulated batch only."""
        network: Any = self.objective.networks[phase.updates]
        if self.sharded:
            network.set_requires_gradient_sync(last)
            return contextlib.nullcontext()
        return contextlib.nullcontext() if last or self.world.size == 1 else network.no_sync()

    def _follow_schedule(self) -> None:
        schedule = self.recipe.schedule
        share = self.samples_seen / schedule.samples if schedule.samples else self.fraction
        factor = optimizers.schedule_factor(schedule, self.progress.step, share) * self.progress.lr_scale
        for optimizer in self.optimizers.values():
            optimizers.follow_schedule(optimizer, self.recipe.optimizer, factor, share)

    @property
    def fraction(self) -> float:
        """How much of the run is over, in [0, 1]: by steps, or by time where a budget ends it sooner."""
        by_time = self.progress.seconds / self.recipe.budget if self.recipe.budget else 0.0
        by_steps = self.progress.step / self.recipe.steps if self.recipe.steps else 0.0
        return min(1.0, max(by_steps, by_time))

    # ------------------------------------------------------------------ the log

    def read_tally(self) -> dict[str, Any]:
        """The means since the last call, one log line's content; waits for the device."""
        tally, self.tally = self.tally, Tally()
        log = tally.read(self.world.mean, (phase.name for phase in self.phases))
        return {
            "seen": self.samples_seen,
            **log,
            **memory_use(self.world.device),
            "flops_share": self.flops.share(tally.flops, log["data_seconds"] + log["step_seconds"]),
            "lr": {name: o.param_groups[0]["lr"] for name, o in self.optimizers.items()},
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
            **{f"optimizer_{name}": optimizers.state_tensors(o) for name, o in self.optimizers.items()},
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
        state = {**self.progress.as_state(), "world_size": self.world.size}
        step, recipe = self.progress.step, self.recipe
        spared = averaged_steps(step, recipe.checkpoint_every, recipe.average_checkpoints)
        checkpoint.save(self.folder, step, collected, state, recipe.keep_checkpoints, spared, frozen)
        self._average_checkpoints()

    def restore(self, saved: Checkpoint) -> None:
        """Become what ``save`` wrote, to the bit."""
        try:
            for name, network in self.networks.items():
                load_weights(network, saved.tensors[name])
            for name, average in self._moving().items():
                load_weights(average.module, saved.tensors[f"ema_{name}"])
            for name, optimizer in self.optimizers.items():
                optimizers.load_state_tensors(optimizer, saved.tensors[f"optimizer_{name}"])
            objective_state.restore(self.objective, saved.tensors.get("objective", {}), self.world)
            self.progress = Progress.recalled(
                saved.step, saved.state, per_step=self.samples_per_step, every=self.recipe.ema.every
            )
        except (KeyError, RuntimeError, IndexError) as error:
            first = str(error).splitlines()[0]
            raise LuoxiaError(f"the checkpoint does not fit this recipe's networks: {first}") from error
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
            advice, _ = self.recipe.remedy("non-finite gradients")
            raise LuoxiaError(
                f"training stopped at step {self.progress.step}: {reason}, again after {rollbacks} roll-backs; "
                f"{advice[0].lower()}{advice[1:]}"
            )
        self.restore(checkpoint.load_latest(self.folder))
        self.progress.rollbacks, self.progress.lr_scale = rollbacks + 1, scale / 2
        self.progress.seconds = seconds  # a budget counts lost time too
        return (
            f"{reason}: back to step {self.progress.step} with the learning rate × {self.progress.lr_scale:g}"
        )

    # ------------------------------------------------------------------ shards

    def eval_model(self, name: str) -> nn.Module:
        """What is sampled, measured and exported of a network, in the main process: its average if there is one.

        Of a sharded network it is the whole copy that ``gather`` last collected.
        """
        average = self.averages.get(name)
        if isinstance(average, EMA) and self.progress.averaged == 0:  # it has not moved yet: ema.every
            average = None
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
        """On the device, laid out in memory as the network says by ``memory_format``."""
        network = network.to(self.world.device).train()
        if (layout := getattr(network, "memory_format", None)) is not None:
            network.to(memory_format=layout)  # type: ignore[call-overload]
        return network

    def _make_averages(self) -> dict[str, EMA | CheckpointAverage]:
        settings, names = self.recipe.ema, self.objective.averaged
        if self.recipe.average_checkpoints:
            return {name: CheckpointAverage(self.networks[name]) for name in names}
        if settings.half_life == 0:
            return {}
        course = self.recipe.schedule.samples
        return {
            name: EMA(self.networks[name], settings.half_life, settings.warmup_share, course)
            for name in names
        }

    def _moving(self) -> dict[str, EMA]:
        """The averages that follow each step."""
        return {name: average for name, average in self.averages.items() if isinstance(average, EMA)}


def _frozen(network: nn.Module) -> list[str]:
    """The names of the parameters that are not trained."""
    return [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
