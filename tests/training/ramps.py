"""A toy: sequences of unequal lengths, loaded one by one, on which a small network trains."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from luoxia.runs.display import Display
from luoxia.runs.run import Run
from luoxia.tasks.base import Task
from luoxia.training.batches import LoadedBatches, Sampler
from luoxia.training.checkpoint import load_latest
from luoxia.training.distributed import World
from luoxia.training.objective import Examples, Objective, Phase
from luoxia.training.recipe import Recipe
from luoxia.training.session import Session
from luoxia.training.stage import Stage
from luoxia.training.trainer import Trainer
from training.ramp_data import COUNT, Killing, Ramps

WORLD = World(0, 1, torch.device("cpu"))


@dataclass
class Sequences(Examples):
    """``values`` (n, t) float32, padded with zeros; the loss is a mean over all steps."""

    values: Tensor
    lengths: Tensor

    def __post_init__(self):
        self.weight = self.seen = int(self.lengths.sum())

    def __len__(self):
        return len(self.values)


def collate(samples, random):
    """Each from a random place on."""
    cuts = [int(random.random_raw() % (len(sample) - 1)) for sample in samples]
    parts = [torch.from_numpy(sample[cut:]) for sample, cut in zip(samples, cuts, strict=True)]
    return Sequences(pad_sequence(parts, batch_first=True), torch.tensor([len(part) for part in parts]))


class Denoiser(Objective):
    """A network that smooths a sequence, and a second phase that rarely runs."""

    averaged = ("smoother",)

    def __init__(self):
        self.networks = {
            "smoother": nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv1d(4, 1, 1))
        }
        self.statistics = {}

    def phases(self):
        yield Phase("denoise", self.losses, "smoother", repeat=2)
        yield Phase("rarely", self.losses, "smoother", every=3)

    def losses(self, batch, rng):
        noisy = batch.values + 0.1 * rng.normal(*batch.values.shape)
        found = self.networks["smoother"](noisy[:, None])[:, 0]
        mask = torch.arange(batch.values.shape[1], device=batch.values.device) < batch.lengths[:, None]
        return {"error": ((found - batch.values).square() * mask).sum() / batch.weight}


def make_batches(workers, dataset=None, batch=4, world=WORLD, **settings):
    sampler = Sampler(np.arange(COUNT), batch, 5, world)
    return LoadedBatches(dataset or Ramps(), sampler, collate, world, 5, workers=workers, **settings)


def make_trainer(folder, workers, dataset=None, **settings):
    recipe = Recipe(**{"batch": 4, "steps": 100, "lr": 0.05, "seed": 5, **settings})
    world = World(0, 1, torch.device("cuda" if recipe.device == "cuda" else "cpu"))
    batches = make_batches(workers, dataset, world=world, accumulate=recipe.accumulate)
    torch.manual_seed(0)
    return Trainer(Denoiser(), recipe, batches, world, folder, torch.float32)


class RampStage(Stage):
    """The one stage of a training on ramps."""

    network = "smoother"

    def prepare(self):
        self.batches = make_batches(self.recipe.workers, self.data)

    def objective(self):
        return Denoiser()

    def batch(self, phase, index):
        return self.batches(phase, index)

    def close(self):
        self.batches.close()

    def observe(self, rng):
        return self.batches.gather(np.arange(3)), None

    def preview(self, out):
        pass

    @property
    def scored(self):
        return False


class RampTask(Task):
    """Ramps, smoothed."""

    name, kind, output, unit = "ramps", "smoother", "ramp", "ramps"

    def stages(self, recipe):
        return (RampStage,)


def make_session(folder, dataset, workers):
    """Nine steps, new or to be restored."""
    recipe = Recipe(
        batch=4,
        steps=9,
        lr=0.05,
        seed=5,
        device="cpu",
        log_every=2,
        sample_every=0,
        score_every=0,
        workers=workers,
    )
    folder.mkdir(exist_ok=True)
    return Session(RampTask(), recipe, Run(folder, {}), dataset, WORLD, Display(quiet=True))


def weights(trainer):
    return {key: value.clone() for key, value in trainer.networks["smoother"].state_dict().items()}


def train_until_killed(folder, workers):
    """Train in a process of its own that is killed while it loads; returns how it ended."""
    if (child := os.fork()) == 0:
        signal.alarm(60)
        trainer = make_trainer(Path(folder), workers, Killing())
        trainer.save()
        while True:
            trainer.step()
            trainer.save()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def resumed(folder, workers, steps):
    """The weights after ``steps`` steps in all, from the newest checkpoint on."""
    trainer = make_trainer(Path(folder), workers)
    trainer.restore(load_latest(Path(folder)))
    while trainer.progress.step < steps:
        trainer.step()
    trainer.batches.close()
    return weights(trainer)
