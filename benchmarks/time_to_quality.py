"""Fréchet distance over training time: Luoxia's ``dcgan`` against the widely used DCGAN tutorial configuration.

The peer is that configuration at 28 × 28, in our own words: z of 100; transposed convolutions to 7 × 7 × 128,
14 × 14 × 64 and 28 × 28 × 1 with batch norm, ReLU and tanh; a discriminator that mirrors it with batch norm and
LeakyReLU 0.2 up to a sigmoid; binary cross-entropy; weights from N(0, 0.02); Adam 2e-4 (0.5, 0.999); batches of 128 in
float32 from a shuffling DataLoader over tensors in memory; D on real, D on fake, then G on the same fake.

The clock runs while training runs (ours with its log, its doctor's observations and its checkpoints) and stands still
while samples are scored. Ours learns from 59,000 digits (1,000 are held out), the peer from all; both are scored
against the same digits by the same extractor. The peer is sampled with the statistics of the batch, as the tutorial
does, and with running statistics (eval mode); the better one counts.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
from common import JUDGED, Judge, Verdict, arguments, header, progress, table

LATENT, PEER_BATCH = 100, 128
Scorer = Callable[[Any], float]


@dataclass
class Point:
    """One evaluation."""

    seconds: float
    step: int
    distance: float
    verdict: Verdict


@dataclass
class Curve:
    """A training's evaluations, in order."""

    name: str
    points: list[Point] = field(default_factory=list)

    def reached(self, level: float) -> float | None:
        """Seconds of training until the distance was at most ``level``."""
        return next((point.seconds for point in self.points if point.distance <= level), None)

    def at(self, seconds: float) -> Point | None:
        """The first evaluation after ``seconds`` of training."""
        return next((point for point in self.points if point.seconds >= seconds), None)


def follow(
    name: str,
    step: Callable[[], int],
    evaluate: Callable[[], tuple[float, Verdict]],
    every: float,
    budget: float,
) -> Curve:
    """Train by ``step()`` until ``budget`` seconds of it are spent; evaluate every ``every``, outside the clock."""
    curve, clock, due = Curve(name), 0.0, every
    while clock < budget:
        began = time.perf_counter()
        number = step()
        clock += time.perf_counter() - began
        if clock >= due or clock >= budget:
            curve.points.append(Point(clock, number, *evaluate()))
            due = every * (clock // every + 1)
            last = curve.points[-1]
            progress(
                f"{name}: {last.seconds:.0f} s, step {number:,}, FD {last.distance:.2f}, {last.verdict.cells()}"
            )
    return curve


def ours(session: Any) -> Callable[[], int]:
    """A step as ``luoxia train`` does it: with the log line and the observation, and checkpoints."""
    from luoxia.training.objective import Rng, hashed

    trainer, recipe = session.trainer, session.recipe

    def step() -> int:
        trainer.step()
        number = trainer.progress.step
        if number % recipe.log_every == 0:
            trainer.read_tally()
            rng = Rng(hashed(recipe.seed, "observe", number))
            train, heldout = session.stage.observe(rng)
            trainer.objective.observe(train, heldout, rng)
            trainer.is_finite()
        if number % recipe.checkpoint_every == 0:
            trainer.save()
        return number

    return step


class Peer:
    """The tutorial's training."""

    def __init__(self, images: Any) -> None:
        import torch
        from torch import nn

        torch.manual_seed(0)
        norm = nn.BatchNorm2d
        self.generator = nn.Sequential(
            nn.ConvTranspose2d(LATENT, 128, 7, 1, 0, bias=False), norm(128), nn.ReLU(True),
            nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), norm(64), nn.ReLU(True),
            nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip
        self.discriminator = nn.Sequential(
            nn.Conv2d(1, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, 128, 4, 2, 1, bias=False), norm(128), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(128, 1, 7, 1, 0, bias=False), nn.Sigmoid(),
        )  # fmt: skip
        for layer in (*self.generator, *self.discriminator):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, norm):
                nn.init.normal_(layer.weight, 1.0, 0.02)
                nn.init.zeros_(layer.bias)
        self.adam_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.criterion = nn.BCELoss()
        pixels = torch.tensor(images).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
        self.loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(pixels), batch_size=PEER_BATCH, shuffle=True
        )
        self.batches = iter(self.loader)
        self.steps = 0

    def step(self) -> int:
        """One batch."""
        import torch

        try:
            (real,) = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            (real,) = next(self.batches)
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        self.discriminator.zero_grad()
        self.criterion(self.discriminator(real).view(-1), ones).backward()
        fake = self.generator(torch.randn(len(real), LATENT, 1, 1))
        self.criterion(self.discriminator(fake.detach()).view(-1), zeros).backward()
        self.adam_d.step()
        self.generator.zero_grad()
        self.criterion(self.discriminator(fake).view(-1), ones).backward()
        self.adam_g.step()
        self.steps += 1
        return self.steps

    def sample(self, n: int, training: bool) -> Any:
        """uint8 (n, 28, 28, 1), by a copy: sampling in train mode moves running statistics."""
        import torch

        from luoxia.media.image.values import to_uint8

        generator = copy.deepcopy(self.generator).train(training)
        source = torch.Generator().manual_seed(1)
        with torch.no_grad():
            latents = torch.randn(n, LATENT, 1, 1, generator=source).split(PEER_BATCH)
            return torch.cat([to_uint8(generator(part)) for part in latents]).numpy()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="MNIST's 60,000 digits: .npz with images and labels")
    parser.add_argument("--every", type=float, default=10, help="seconds of training between evaluations")
    parser.add_argument("--budget", type=float, default=120, help="seconds of training of ours")
    parser.add_argument("--peer-budget", type=float, default=480, help="seconds of training of the peer")
    parser.add_argument("--samples", type=int, default=5000, help="samples of an evaluation")
    parser.add_argument("--levels", type=float, nargs="+", default=[50, 20, 10, 5, 3, 2, 1.5])
    parser.add_argument(
        "--at", type=float, nargs="+", default=[60, 120], help="seconds at which both are shown"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of ours")
    asked = parser.parse_args()
    if asked.quick:
        asked.every, asked.budget, asked.peer_budget, asked.samples, asked.at = 2, 4, 4, 500, [2, 4]
    header("Time to quality on MNIST", asked.quick)
    judge = Judge.open(asked.data, asked.quick)
    with tempfile.TemporaryDirectory() as temporary:
        session = open_session(asked.data, asked.seed, Path(temporary) / "run")
        progress("preparing the reference (the extractor is trained once and cached)")
        reference = session.stage.reference

        def distance(samples: Any) -> float:
            return float(reference.frechet(reference.embed(samples)[1]).value)

        def evaluate_ours() -> tuple[float, Verdict]:
            samples = session.stage.model().sample(asked.samples, seed=1)
            return distance(samples), judge.report(samples)

        peer = Peer(session.data.images)

        def evaluate_peer() -> tuple[float, Verdict]:
            both = [peer.sample(asked.samples, training) for training in (True, False)]
            best, samples = min(((distance(s), s) for s in both), key=lambda pair: pair[0])
            return best, judge.report(samples)

        mine = follow("Luoxia", ours(session), evaluate_ours, asked.every, asked.budget)
        theirs = follow("tutorial", peer.step, evaluate_peer, asked.every, asked.peer_budget)
        floor = reference.frechet_floor(asked.samples)
    show(mine, theirs, asked, floor)


def open_session(data: str, seed: int, out: Path) -> Any:
    """What ``luoxia train dcgan data=…`` sets up."""
    return common.open_session("dcgan", {"data": data, "seed": seed, "device": "cpu"}, out)


def show(mine: Curve, theirs: Curve, asked: Any, floor: float | None) -> None:
    """Print the tables."""
    print(f"FD-self of {asked.samples:,} samples; between real digits (the floor) it is {floor:.2f}.\n")
    rows = []
    for level in asked.levels:
        a, b = mine.reached(level), theirs.reached(level)
        never = [f"> {curve.points[-1].seconds:.0f} s" for curve in (mine, theirs)]
        times = [f"{s:.0f} s" if s else text for s, text in zip((a, b), never, strict=True)]
        faster = f"{b / a:.1f} ×" if a and b else f"> {theirs.points[-1].seconds / a:.1f} ×" if a else None
        rows.append((f"FD ≤ {level:g}", *times, faster))
    table(("until", "Luoxia `dcgan`", "tutorial DCGAN", "Luoxia is faster by"), rows)
    shown = [(curve, curve.at(seconds)) for seconds in asked.at for curve in (mine, theirs)]
    shown += [(curve, curve.points[-1]) for curve in (mine, theirs) if (curve, curve.points[-1]) not in shown]
    rows = [
        (c.name, f"{p.seconds:.0f} s", f"{p.step:,}", f"{p.distance:.2f}", *p.verdict.cells())
        for c, p in shown
        if p
    ]
    table(("model", "trained", "steps", "FD", *JUDGED), rows)
    last = mine.points[-1]
    print(
        f"Luoxia after {last.seconds:.0f} s of training: mean confidence {last.verdict.confidence:.3f} over "
        f"{asked.samples:,} samples, smallest class {last.verdict.smallest:.1%}, FD {last.distance:.2f}."
    )


if __name__ == "__main__":
    main()
