"""Training images a second of ``cyclegan`` against the authors' public code, on the same batches.

The peer is a checkout of github.com/junyanz/pytorch-CycleGAN-and-pix2pix (``--peer``), whose own model does its own
``optimize_parameters()`` with its defaults: the 9-block generator, the 70 × 70 discriminator, least squares, identity,
pool, dropout off as its README trains CycleGAN. Ours is the recipe's objective in Luoxia's trainer, of the same sizes
and without an average, in the precision that it chooses on this machine and in float32. Both get the same images as
tensors; loading is in neither's time. They take turns, and the table gives the quotients of neighbors.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from common import arguments, header, median, progress, ratio, table

Step = Callable[[int], None]
IMAGES = 16


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--peer", required=True, help="a checkout of pytorch-CycleGAN-and-pix2pix")
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--batch", type=int, default=1, help="images of each side a step")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each")
    asked = parser.parse_args()
    if asked.quick:
        asked.size, asked.steps, asked.rounds = 64, 1, 2
    header("CycleGAN: training speed", asked.quick)
    batches = make_batches(asked.size, asked.batch)
    sides = {"the authors' code, float32": peer_step(asked, batches)}
    sides |= {f"Luoxia, {name}": our_step(asked, batches, name) for name in ("auto", "fp32")}
    rates = measured(sides, asked.steps, asked.rounds, asked.batch)
    theirs, *_ = rates.values()
    rows = [(name, median(own), ratio(own, theirs)) for name, own in rates.items()]
    print(
        f"{asked.size} × {asked.size} × 3, batch {asked.batch}, 9 blocks, {asked.rounds} turns of {asked.steps}.\n"
    )
    table(("", "images of each side a second", "× the authors' code"), rows)


def make_batches(size: int, batch: int) -> list[tuple[Any, Any]]:
    """Pairs of (batch, 3, size, size) in [−1, 1]."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (IMAGES, 2, batch, 3, size, size)
    return [(a, b) for a, b in torch.rand(shape, generator=generator) * 2 - 1]


class Unused(ModuleType):
    """A package that is imported and not called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


def peer_step(asked: Any, batches: list[tuple[Any, Any]]) -> Step:
    """Their model, as their train.py makes it."""
    sys.path.insert(0, str(Path(asked.peer).resolve()))
    if find_spec("torchvision") is None:  # their loader's, which has nothing to do here
        sys.modules["torchvision"] = sys.modules["torchvision.transforms"] = Unused("torchvision")
    folder = tempfile.mkdtemp()
    sys.argv = [
        "train.py", "--dataroot", folder, "--checkpoints_dir", folder, "--name", "peer", "--gpu_ids", "-1",
        "--model", "cycle_gan", "--no_dropout", "--batch_size", str(asked.batch),
    ]  # fmt: skip
    said, sys.stdout = sys.stdout, sys.stderr
    try:
        from models import create_model
        from options.train_options import TrainOptions

        model = create_model(TrainOptions().parse())
    finally:
        sys.stdout = said

    def step(number: int) -> None:
        a, b = batches[number % len(batches)]
        model.set_input({"A": a, "B": b, "A_paths": [], "B_paths": []})
        model.optimize_parameters()

    return step


def our_step(asked: Any, batches: list[tuple[Any, Any]], precision: str) -> Step:
    """Our trainer."""
    import torch

    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_translation.objective import UnpairedBatch
    from luoxia.tasks.image_translation.recipes import CycleGAN
    from luoxia.training.distributed import World
    from luoxia.training.hardware import choose_precision, keep_freed_memory
    from luoxia.training.trainer import Trainer

    keep_freed_memory()
    world = World(0, 1, torch.device("cpu"))
    recipe = CycleGAN(
        width=64, d_width=64, blocks=9, patch=70, batch=asked.batch, ema={"half_life": 0}, precision=precision
    )
    trainer = Trainer(
        recipe.build(ImageSpec(asked.size, asked.size, 3)),
        recipe,
        lambda phase, index: UnpairedBatch(*batches[index % len(batches)]),
        world,
        None,
        choose_precision(precision, world.device),
    )
    return lambda number: trainer.step()


def measured(sides: dict[str, Step], steps: int, rounds: int, batch: int) -> dict[str, list[float]]:
    """Images a second of each side in each round; the first steps, which allocate, count for none."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    number = 0
    for step in sides.values():
        step(0)
    for turn in range(rounds):
        for name, step in sides.items():
            began = time.perf_counter()
            for i in range(steps):
                step(number + i)
            rates[name].append(steps * batch / (time.perf_counter() - began))
        number += steps
        progress(f"turn {turn + 1} of {rounds}: " + ", ".join(f"{own[-1]:.3g}" for own in rates.values()))
    return rates


if __name__ == "__main__":
    main()
