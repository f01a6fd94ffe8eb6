"""``r3gan`` against its authors' code: images a second of training and of sampling, side by side.

The authors' code is run from a checkout of theirs (https://github.com/brownvc/R3GAN), by its own networks and its own
class for the losses, between Adam and averaging as its training loop has them. On a CPU its operators fall back to
their reference versions. Sizes, widths, groups, batch and what is computed are the same on both sides: at each step R1
and R2 of all images, an update of D and one of G. Theirs runs with all but the coarsest level in bfloat16, penalties
too, as published, and in float32 throughout; ours in bfloat16 with penalties in float32 throughout. Ours is shown
with a G that draws latents of its own (``g_update=fresh``, as the authors') and as the recipe has it by default.

Each round takes a turn of every contestant, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import importlib.util
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import arguments, header, median, progress, ratio, table

LATENT = 64
GAMMA = 0.05
Turn = Callable[[int], None]


def find(checkout: Path) -> None:
    """Make the authors' modules importable; setuptools no longer brings the ``pkg_resources`` that they import."""
    from packaging.version import parse

    sys.path.insert(0, str(checkout))
    if "pkg_resources" not in sys.modules and importlib.util.find_spec("pkg_resources") is None:
        stand_in: Any = types.ModuleType("pkg_resources")
        stand_in.parse_version = parse
        sys.modules["pkg_resources"] = stand_in


class Peer:
    """The authors' networks and losses, in the order of their loop."""

    def __init__(self, checkout: Path, asked: Any, half: bool) -> None:
        find(checkout)
        import torch
        from R3GAN.Networks import Discriminator, Generator
        from R3GAN.Trainer import AdversarialTraining

        torch.manual_seed(0)
        widths = stages(asked)
        groups = [2 * width // asked.group for width in widths]
        blocks = [asked.depth] * len(widths)
        self.generator = Generator(LATENT, widths, groups, blocks, 2)
        self.discriminator = Discriminator(widths[::-1], groups[::-1], blocks, 2)
        if half:
            for layer in (*self.generator.MainLayers[1:], *self.discriminator.MainLayers[:-1]):
                layer.DataType = torch.bfloat16
        self.game = AdversarialTraining(self.generator, self.discriminator)
        self.average = [p.detach().clone() for p in self.generator.parameters()]
        self.adams = [
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.0, 0.9), eps=1e-8)
            for network in (self.discriminator, self.generator)
        ]
        self.batch = asked.batch

    def train(self, steps: int) -> None:
        """So many steps of D and of G, each followed by its optimizer."""
        import torch

        for _ in range(steps):
            for index, adam in enumerate(self.adams):
                trained, other = [self.discriminator, self.generator][:: -1 if index else 1]
                trained.requires_grad_(True)
                other.requires_grad_(False)
                real, z = torch.rand(self.batch, 3, SIDE, SIDE) * 2 - 1, torch.randn(self.batch, LATENT)
                if index == 0:
                    self.game.AccumulateDiscriminatorGradients(z, real, None, GAMMA)
                else:
                    self.game.AccumulateGeneratorGradients(z, real, None)
                adam.step()
                adam.zero_grad(set_to_none=True)
            with torch.no_grad():
                for mean, value in zip(self.average, self.generator.parameters(), strict=True):
                    mean.copy_(value.lerp(mean, 0.99))

    def sample(self, count: int) -> None:
        """So many batches of images."""
        import torch

        with torch.no_grad():
            for _ in range(count):
                self.generator(torch.randn(self.batch, LATENT))


class Ours:
    """The recipe under the trainer."""

    def __init__(self, asked: Any, g_update: str) -> None:
        import torch

        from luoxia.media.image.images import ImageSpec
        from luoxia.tasks.image_generation.recipes.r3gan import R3GAN
        from luoxia.training.distributed import World
        from luoxia.training.hardware import choose_precision
        from luoxia.training.objective import Batch
        from luoxia.training.trainer import Trainer

        torch.manual_seed(0)
        recipe = R3GAN(
            width=min(stages(asked)), max_channels=asked.width, depth=asked.depth, group=asked.group, latent=LATENT,
            batch=asked.batch, gamma=GAMMA, g_update=g_update,
        )  # fmt: skip

        def batches(phase: Any, index: int) -> Any:
            images = torch.rand(asked.batch, 3, SIDE, SIDE) * 2 - 1
            return Batch(images.contiguous(memory_format=torch.channels_last))

        device = torch.device("cpu")
        dtype = choose_precision("auto", device)
        world = World(0, 1, device)
        self.trainer = Trainer(recipe.build(ImageSpec(SIDE, SIDE, 3, 0)), recipe, batches, world, None, dtype)
        self.batch = asked.batch

    def train(self, steps: int) -> None:
        """So many steps."""
        for _ in range(steps):
            self.trainer.step()

    def sample(self, count: int) -> None:
        """So many batches of images, in the precision of training."""
        import torch

        from luoxia.training.hardware import autocast

        network = self.trainer.averages["generator"].module
        with torch.inference_mode(), autocast(torch.device("cpu"), self.trainer.dtype):
            for _ in range(count):
                network(torch.randn(self.batch, LATENT), None)


SIDE = 32


def stages(asked: Any) -> list[int]:
    """Channels from 4 × 4 to 32 × 32: halved from ``width`` on as often as ``--halved`` says."""
    return [asked.width, asked.width, asked.width, asked.width][: 4 - asked.halved] + [
        asked.width >> (k + 1) for k in range(asked.halved)
    ]


def seconds(turn: Turn, count: int) -> float:
    """One turn's time."""
    began = time.perf_counter()
    turn(count)
    return time.perf_counter() - began


def compare(title: str, turns: dict[str, Turn], count: int, asked: Any) -> None:
    """Rounds of a turn of each; images a second, and how often the published peer's."""
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for name, turn in turns.items():
        progress(f"{title}: warming up {name}")
        turn(1)
    for number in range(asked.rounds):
        for name, turn in turns.items():
            rates[name].append(count * asked.batch / seconds(turn, count))
            progress(f"{title}, round {number + 1}: {name} {rates[name][-1]:.1f} images/s")
    theirs = [max(pair) for pair in zip(rates["authors', bf16"], rates["authors', float32"], strict=True)]
    rows = [
        [name, median(values), "–" if name.startswith("authors") else ratio(values, theirs)]
        for name, values in rates.items()
    ]
    table([title, "images a second", "against the authors' faster one (median, range of rounds)"], rows)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="a checkout of the authors' repository")
    parser.add_argument(
        "--width", type=int, default=128, help="channels of the coarsest level (published: 768)"
    )
    parser.add_argument(
        "--halved",
        type=int,
        default=0,
        choices=range(4),
        help="finest levels that have half of the one before",
    )
    parser.add_argument("--depth", type=int, default=2, help="blocks of a level")
    parser.add_argument("--group", type=int, default=16, help="channels of a group")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="steps of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.quick:
        asked.width, asked.depth, asked.batch, asked.steps, asked.rounds = 32, 1, 8, 1, 2
    header(f"R3GAN at {SIDE} × {SIDE}, {asked.width} channels, batch {asked.batch}", asked.quick)
    ours = {update: Ours(asked, update) for update in ("fresh", "shared")}
    peers = {name: Peer(asked.peer, asked, half) for name, half in (("bf16", True), ("float32", False))}
    both = {f"authors', {name}": peer for name, peer in peers.items()} | {
        f"Luoxia, g_update={name}": own for name, own in ours.items()
    }
    compare("training", {name: one.train for name, one in both.items()}, asked.steps, asked)
    del both["Luoxia, g_update=shared"]
    compare("sampling", {name: one.sample for name, one in both.items()}, 2 * asked.steps, asked)


if __name__ == "__main__":
    main()
