"""Images a second of training and sampling: `stylegan2` against NVIDIA's stylegan2-ada-pytorch, the same networks.

Both sides in one process with the same threads, in turn. Theirs is a checkout of the public code, run with its
reference operators (plain PyTorch, as on every machine without a CUDA compiler); its losses and phases are called as
its training loop calls them. Same shapes and widths, every phase: D, lazy R1, G, lazy path lengths, with style mixing;
the optimizers too. Nothing is loaded from disk on either side. A cycle is 16 steps, in which every lazy phase has run
as often as it should.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import arguments, header, progress, ratio, table

CYCLE = 16
Step = Callable[[int], None]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="a checkout of NVlabs/stylegan2-ada-pytorch")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument(
        "--width", type=int, default=32, help="channels at the finest level, doubling to --max-channels"
    )
    parser.add_argument("--max-channels", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=3, help="cycles of either side, in turn")
    parser.add_argument("--samples", type=int, default=128, help="images of a sampling trial")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="ours")
    asked = parser.parse_args()
    if asked.quick:
        asked.size, asked.width, asked.max_channels, asked.batch, asked.pairs, asked.samples = (
            16,
            4,
            8,
            4,
            1,
            8,
        )
    header("StyleGAN2 against stylegan2-ada-pytorch", asked.quick)
    sys.path.insert(0, str(asked.peer))
    sides = {"ours": ours(asked), "theirs": theirs(asked)}
    for name, (_, _, counted) in sides.items():
        progress(f"{name}: {counted[0]:,} and {counted[1]:,} parameters")
    rates: dict[str, dict[str, list[float]]] = {name: {"training": [], "sampling": []} for name in sides}
    for pair in range(asked.pairs + 1):  # the first warms up
        for name, (step, sample, _) in sides.items():
            found = {
                "training": CYCLE * asked.batch / timed(lambda step=step: [step(i) for i in range(CYCLE)]),
                "sampling": asked.samples / timed(lambda sample=sample: sample(asked.samples)),
            }
            progress(f"{name}: {found}")
            for kind, rate in found.items():
                rates[name][kind] += [rate] * (pair > 0)
    rows = [
        (
            kind,
            *(sum(rates[name][kind]) / asked.pairs for name in ("ours", "theirs")),
            ratio(*(rates[n][kind] for n in ("ours", "theirs"))),
        )
        for kind in ("training", "sampling")
    ]
    print(
        f"{asked.size} × {asked.size} RGB, batch {asked.batch}, {asked.width} to {asked.max_channels} channels\n"
    )
    table(("", "ours, images a second", "theirs, images a second", "quotient"), rows)


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def images(asked: Any) -> Any:
    """A batch in [−1, 1]."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.rand(asked.batch, 3, asked.size, asked.size, generator=generator) * 2 - 1


def ours(asked: Any) -> tuple[Step, Callable[[int], Any], tuple[int, int]]:
    """The recipe in the trainer."""
    import torch

    from luoxia.media.image.images import ImageSpec
    from luoxia.provenance.label import Label
    from luoxia.tasks.image_generation.model import ImageGenerator
    from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
    from luoxia.training.distributed import World
    from luoxia.training.hardware import choose_precision, keep_freed_memory
    from luoxia.training.objective import Batch
    from luoxia.training.trainer import Trainer

    keep_freed_memory()
    spec = ImageSpec(asked.size, asked.size, 3, 0)
    recipe = StyleGAN2(
        width=asked.width, max_channels=asked.max_channels, latent=512, styles=512, mapping_layers=8, batch=asked.batch,
        mixing=0.9, path_weight=2.0, g_update="fresh", loss="nonsaturating", penalty="r1", penalty_every=16, gamma=1.0,
        minibatch_std_group=4,
    )  # fmt: skip
    recipe = recipe.model_copy(update=recipe.settled(spec))
    batch = Batch(images(asked).contiguous(memory_format=torch.channels_last))
    world = World(0, 1, torch.device("cpu"))
    dtype = choose_precision(asked.precision, world.device)
    torch.manual_seed(0)
    trainer = Trainer(recipe.build(spec), recipe, lambda phase, index: batch, world, None, dtype)
    generator = ImageGenerator(copy.deepcopy(trainer.eval_model("generator")), classes=(), details=Label())

    def step(_: int) -> None:
        trainer.step()

    counted = tuple(sum(p.numel() for p in net.parameters()) for net in trainer.networks.values())
    return step, lambda n: generator.sample(n), counted  # type: ignore[return-value]


def theirs(asked: Any) -> tuple[Step, Callable[[int], Any], tuple[int, int]]:
    """Their networks, losses and phases as in their training loop, without ADA and without logging."""
    import torch
    from torch_utils import training_stats  # type: ignore[import-not-found]

    training_stats.report = lambda name, value: value  # their statistics wait for nobody here
    from training.loss import StyleGAN2Loss  # type: ignore[import-not-found]
    from training.networks import Discriminator, Generator  # type: ignore[import-not-found]

    torch.manual_seed(0)
    channels = {"channel_base": asked.width * asked.size, "channel_max": asked.max_channels}
    common = {"c_dim": 0, "img_resolution": asked.size, "img_channels": 3}
    g = Generator(
        z_dim=512, w_dim=512, synthesis_kwargs=channels, mapping_kwargs={"num_layers": 8}, **common
    ).train()
    d = Discriminator(**channels, epilogue_kwargs={"mbstd_group_size": 4}, **common).train()
    average = copy.deepcopy(g).eval().requires_grad_(False)
    cpu = torch.device("cpu")
    loss = StyleGAN2Loss(
        cpu, g.mapping, g.synthesis, d, augment_pipe=None, style_mixing_prob=0.9, r1_gamma=1.0, pl_batch_shrink=2,
        pl_decay=0.01, pl_weight=2,
    )  # fmt: skip
    optimizers = {
        net: torch.optim.Adam(
            net.parameters(), lr=2.5e-3 * k / (k + 1), betas=(0.0, 0.99 ** (k / (k + 1))), eps=1e-8
        )
        for net, k in ((g, 4), (d, 16))
    }
    real, none = images(asked), torch.zeros(asked.batch, 0)
    phases = (("Gmain", g, 1), ("Greg", g, 4), ("Dmain", d, 1), ("Dreg", d, 16))

    def step(number: int) -> None:
        for phase, net, every in phases:
            if number % every:
                continue
            for other in (g, d):
                other.requires_grad_(other is net)
            optimizers[net].zero_grad(set_to_none=True)
            z = torch.randn(asked.batch, 512)
            loss.accumulate_gradients(phase, real, none, z, none, sync=True, gain=every)
            optimizers[net].step()
        with torch.no_grad():
            for mean, value in zip(average.parameters(), g.parameters(), strict=True):
                mean.copy_(value.lerp(mean, 0.999))

    @torch.no_grad()
    def sample(n: int) -> None:
        for start in range(0, n, 64):
            made = average(torch.randn(min(64, n - start), 512), None, noise_mode="const")
            (made * 127.5 + 128).clamp(0, 255).to(torch.uint8)

    return step, sample, tuple(sum(p.numel() for p in net.parameters()) for net in (g, d))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
