"""Fréchet distance over training time of ``flow``, beside minRF's objective and optimizer, ``image-gpt`` and ``dcgan``.

minRF is rectified flow in a page: https://github.com/cloneofsimo/minRF, of which this needs a checkout. Its own class
``RF`` computes the loss (velocities by a network, t = sigmoid(N(0, 1))) and draws the samples (50 Euler steps); its
optimizer is Adam at 5e-4. The network is the one that ``flow`` trains, of the same size, so that what differs is what
is learned and how. It is scored without guidance and with its default of 2, and the better one counts.

The clock runs while training runs and stands still while samples are scored. ``image-gpt``, its codec included, and a
``dcgan`` with classes train for the same time through ``luoxia.train`` and are scored at the end. No training has used
the extractor's features.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
from common import arguments, header, progress, table

CHUNK = 64
Scorer = Callable[[Any], float]
Curve = list[tuple[float, int, float]]
"""Seconds of training, steps, FD."""


class Ours:
    """``luoxia train flow``, a step at a time."""

    def __init__(self, settings: dict[str, Any], budget: float, out: Path) -> None:
        self.session = common.open_session("flow", {**settings, "budget": budget, "extractor": "none"}, out)
        self.trainer = self.session.trainer

    def step(self, seconds: float) -> int:
        """One, with what ``luoxia train`` does at a log line; its schedule follows the clock."""
        from luoxia.training.objective import Rng, hashed

        trainer, recipe = self.trainer, self.session.recipe
        trainer.progress.seconds = seconds
        trainer.step()
        number: int = trainer.progress.step
        if number % recipe.log_every == 0:
            trainer.read_tally()
            rng = Rng(hashed(recipe.seed, "observe", number))
            trainer.objective.observe(*self.session.stage.observe(rng), rng)
        return number

    def sample(self, n: int) -> list[Any]:
        """Images, uint8 (n, h, w, c), in one way."""
        return [self.session.stage.model().sample(n, seed=1)]


class MinRF:
    """minRF's training of the same network on the same images."""

    def __init__(self, session: Any, checkout: Path, seed: int) -> None:
        import torch
        from torch import nn

        sys.path.insert(0, str(checkout))
        from rf import RF

        torch.manual_seed(seed)
        stage = session.stage
        network = session.recipe.network(session.data.spec, stage.spec)

        class Velocities(nn.Module):
            """The network under minRF's names: its t is 1 at noise."""

            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, z: Any, t: Any, conditions: Any) -> Any:
                return self.network(z, 1 - t, conditions)

        self.network, self.stage = Velocities(), stage
        self.dtype = session.dtype
        self.rf = RF(self.network)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=5e-4)
        self.phase = session.trainer.phases[0]
        self.number = 0

    def step(self, seconds: float) -> int:
        """One batch, in the precision of ours."""
        import torch

        batch = self.stage.batch(self.phase, self.number)
        self.network.train()
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            loss, _ = self.rf.forward(batch.samples, batch.conditions)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.number += 1
        return self.number

    def sample(self, n: int) -> list[Any]:
        """Images without guidance, and with minRF's default."""
        import torch

        from luoxia.media.image.values import to_uint8
        from luoxia.tasks.image_synthesis.conditions import nothing, request

        self.network.eval()
        spec, shape = self.stage.spec, self.network.network.shape
        ways = []
        for guidance in (None, 2.0):
            random, made = torch.Generator().manual_seed(1), []
            for first in range(0, n, CHUNK):
                many = min(CHUNK, n - first)
                noise = torch.randn((many, *shape), generator=random)
                own, none = request(spec, many, first), nothing(spec, many)
                with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
                    drawn = self.rf.sample(
                        noise, own, None if guidance is None else none, cfg=guidance or 1.0
                    )
                made.append(to_uint8(drawn[-1].float()))
            ways.append(torch.cat(made).numpy())
        return ways


def follow(name: str, training: Any, score: Scorer, every: float, budget: float, samples: int) -> Curve:
    """Train until ``budget`` seconds are spent; the best way of sampling is scored every ``every``."""
    curve: Curve = []
    clock, due = 0.0, every
    while clock < budget:
        began = time.perf_counter()
        number = training.step(clock)
        clock += time.perf_counter() - began
        if clock >= due or clock >= budget:
            distance = min(map(score, training.sample(samples)))
            curve.append((clock, number, distance))
            progress(f"{name}: {clock:.0f} s, step {number:,}, FD {distance:.2f}")
            due = every * (clock // every + 1)
    return curve


def whole_run(recipe: str, settings: dict[str, Any], budget: float, folder: Path) -> tuple[int, Any]:
    """Steps of a run of ``recipe``, and its model."""
    import luoxia

    run = luoxia.train(
        recipe, out=str(folder / recipe), budget=budget, extractor="none", sample_every=0, score_every=0,
        checkpoint_every=10**9, quiet=True, **settings,
    )  # fmt: skip
    return list(run.records("log"))[-1]["step"], luoxia.load(run.path)


def options() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="images in a folder a class")
    parser.add_argument("--minrf", type=Path, required=True, help="a checkout of minRF")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--budget", type=float, default=600, help="seconds of training of each")
    parser.add_argument("--every", type=float, default=100, help="seconds between evaluations")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--extractor", default="effnet-lite0")
    parser.add_argument("--recipes", nargs="*", default=["image-gpt", "dcgan"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a folder to keep runs and grids in")
    asked = parser.parse_args()
    if asked.quick:
        asked.budget, asked.every, asked.samples = 8, 4, 64
    return asked


def main() -> None:
    asked = options()
    header(f"flow: {asked.budget:g} s each on {Path(asked.data).name}", asked.quick)
    settings = {"data": asked.data, "size": asked.size, "seed": asked.seed, "device": "cpu"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        compare(asked, settings, folder)


def compare(asked: argparse.Namespace, settings: dict[str, Any], folder: Path) -> None:
    """Train all, and print the tables."""
    from luoxia.media.image.writer import write_grid
    from luoxia.provenance.label import Label
    from luoxia.tasks.shared.image_stage import make_reference

    ours = Ours(settings, asked.budget, folder / "flow")
    stage = ours.session.stage
    sides = (ours.session.data, stage.train_indices, stage.heldout_indices)
    reference = make_reference(asked.extractor, *sides, seed=1)

    def score(samples: Any) -> float:
        return float(reference.frechet(reference.embed(samples)[1]).value)

    theirs = MinRF(ours.session, asked.minrf, asked.seed)
    curves = {
        name: follow(name, training, score, asked.every, asked.budget, asked.samples)
        for name, training in (("flow", ours), ("minRF", theirs))
    }
    for name, training in (("flow", ours), ("minRF", theirs)):
        write_grid(folder / f"{name}.png", training.sample(CHUNK)[0], Label())
    rows = [[name, *curve[-1][1:]] for name, curve in curves.items()]
    for recipe in asked.recipes:
        own = {"condition": "projection"} if recipe == "dcgan" else {}
        steps, model = whole_run(recipe, {**settings, **own}, asked.budget, folder)
        rows.append([recipe, steps, score(model.sample(asked.samples, seed=1))])
        write_grid(folder / f"{recipe}.png", model.sample(CHUNK, seed=1), Label())
    floor = reference.frechet_floor(asked.samples)
    print(f"FD-{asked.extractor} of {asked.samples:,} samples; real against real {common.cell(floor)}.\n")
    table(["after the whole time", "steps", "FD"], rows)
    goal = curves["minRF"][-1][2]
    reached = next((seconds for seconds, _, distance in curves["flow"] if distance <= goal), None)
    share = None if reached is None else f"{reached / asked.budget:.0%} of the time"
    table(["", "seconds", "step", "FD"], [[n, *point] for n, curve in curves.items() for point in curve])
    print(
        f"flow is as near as minRF at its end (FD {goal:.2f}) after {common.cell(reached)} s: {common.cell(share)}."
    )


if __name__ == "__main__":
    main()
