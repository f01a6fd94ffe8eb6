"""The classic MNIST GAN script against Luoxia's recipe ``gan``: speed of training, then what each generates.

The peer is the script that countless tutorials share, implemented faithfully in our own words: the fully connected
networks 100-256-512-1024-784 and their mirror with ReLU, a sigmoid and binary cross-entropy, Adam 2e-4 with its
default betas, batches of 64, digits in [0, 1] although the generator ends in tanh, each digit made a Pillow image and
then a tensor whenever it is read (what torchvision's MNIST with ToTensor does), through a shuffling DataLoader without
workers. The published text breaks off after the discriminator's loss (which does not detach the fakes); it goes on
here in the usual way: a step of D, then a step of G towards ones with fresh latents.

Luoxia keeps the networks' sizes and changes what breaks. Both run through their own front door, each time in a fresh
process: the peer as a plain loop, ours as ``luoxia.train``, whose time includes its log, its doctor and its
checkpoints. Judging is in neither's time.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

from common import JUDGED, Judge, arguments, header, median, progress, ratio, read_digits, table

BATCH = 64
LATENT = 100


class Peer:
    """The script, ready to run."""

    def __init__(self, images: Any, labels: Any) -> None:
        import torch
        from torch import nn

        def layers(*widths: int) -> list[nn.Module]:
            return [layer for i, o in itertools.pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]

        torch.manual_seed(0)
        self.generator = nn.Sequential(*layers(LATENT, 256, 512, 1024), nn.Linear(1024, 784), nn.Tanh())
        self.discriminator = nn.Sequential(*layers(784, 1024, 512, 256), nn.Linear(256, 1), nn.Sigmoid())
        self.criterion = nn.BCELoss()
        self.adam_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4)
        digits = digits_as_torchvision(images, labels)
        self.loader = torch.utils.data.DataLoader(dataset=digits, batch_size=BATCH, shuffle=True)

    def train(self, batches: int) -> float:
        """Go on for so many batches, over as many epochs as it takes; return the seconds."""
        began, done = time.perf_counter(), 0
        while done < batches:
            for images, _ in self.loader:
                self.step(images)
                done += 1
                if done == batches:
                    break
        return time.perf_counter() - began

    def step(self, images: Any) -> None:
        """One batch: the discriminator, then the generator."""
        import torch

        real = self.discriminator(images.view(len(images), -1))
        fake = self.discriminator(self.generator(torch.randn(len(images), LATENT)))
        d_loss = self.criterion(real, torch.ones_like(real)) + self.criterion(fake, torch.zeros_like(fake))
        self.adam_d.zero_grad()
        d_loss.backward()
        self.adam_d.step()
        judged = self.discriminator(self.generator(torch.randn(len(images), LATENT)))
        g_loss = self.criterion(judged, torch.ones_like(judged))
        self.adam_g.zero_grad()
        g_loss.backward()
        self.adam_g.step()

    def sample(self, n: int) -> Any:
        """uint8 (n, 28, 28, 1): the range of its data, [0, 1], to 0 … 255."""
        import torch

        with torch.inference_mode():
            images = self.generator(torch.randn(n, LATENT, generator=torch.Generator().manual_seed(0)))
        return images.clamp(0, 1).mul(255).round().to(torch.uint8).view(n, 28, 28, 1).numpy()


def digits_as_torchvision(images: Any, labels: Any) -> Any:
    """A Dataset that does for each digit what torchvision's MNIST and ToTensor do, and no more."""
    import numpy as np
    import torch
    from PIL import Image

    pixels, targets = torch.from_numpy(images), torch.from_numpy(labels)

    class Digits(torch.utils.data.Dataset):
        def __getitem__(self, index: int) -> tuple[Any, int]:
            picture, target = Image.fromarray(pixels[index].numpy(), mode="L"), int(targets[index])
            array = torch.from_numpy(np.array(picture, np.uint8, copy=True))
            planes = array.view(picture.size[1], picture.size[0], 1).permute((2, 0, 1)).contiguous()
            return planes.to(dtype=torch.get_default_dtype()).div(255), target

        def __len__(self) -> int:
            return len(pixels)

    return Digits()


def train_ours(data: str, steps: int, out: Path, seed: int = 0) -> tuple[Any, float]:
    """``luoxia.train("gan")``: the run, and its seconds of training (its log included, its decoding not)."""
    import luoxia

    run = luoxia.train(
        "gan", data=data, out=str(out), steps=steps, batch=BATCH, seed=seed, device="cpu", quiet=True,
        extractor="none", sample_every=0, score_every=0, checkpoint_every=max(1000, steps),
    )  # fmt: skip
    finished = [record for record in run.records("event") if record["event"] == "finished"]
    return run, finished[-1]["seconds"]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="MNIST's 60,000 digits: .npz with images and labels")
    parser.add_argument("--out", default="seed_gan", help="folder for the two sample grids")
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of timed runs")
    parser.add_argument("--steps", type=int, default=938, help="batches of a timed run; 938 are an epoch")
    parser.add_argument("--epochs", type=float, default=3, help="epochs before the samples are judged")
    parser.add_argument("--samples", type=int, default=10_000, help="samples that are judged")
    asked = parser.parse_args()
    if asked.quick:
        asked.pairs, asked.steps, asked.epochs, asked.samples = 2, 20, 0.05, 500
    header("The first document's GAN", asked.quick)
    images, labels = read_digits(asked.data)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compare_speed(asked, folder)
        compare_samples(asked, images, labels, folder)


def compare_speed(asked: Any, folder: Path) -> None:
    """Pairs of runs, each run in a process of its own, so that neither inherits the other's settings or memory."""
    ours, theirs = [], []
    for pair in range(asked.pairs):
        theirs.append(asked.steps * BATCH / in_fresh_process(seconds_of_peer, asked.data, asked.steps))
        out = folder / f"speed-{pair}"
        ours.append(asked.steps * BATCH / in_fresh_process(seconds_of_ours, asked.data, asked.steps, out))
        progress(f"pair {pair + 1}: ours {ours[-1]:,.0f}, script {theirs[-1]:,.0f} images/s")
    about = f"median of {asked.pairs} pairs of {asked.steps} batches of {BATCH}"
    rows = [("script", median(theirs), None), ("Luoxia `gan`", median(ours), ratio(ours, theirs))]
    table(("training", f"images a second ({about})", "ratio"), rows)


def in_fresh_process(function: Any, *given: Any) -> float:
    """What ``function`` returns in a new Python."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return float(pool.submit(function, *given).result())


def seconds_of_peer(data: str, steps: int) -> float:
    """The script's time for so many batches."""
    return Peer(*read_digits(data)).train(steps)


def seconds_of_ours(data: str, steps: int, out: Path) -> float:
    """Luoxia's time for so many batches."""
    return train_ours(data, steps, out)[1]


def compare_samples(asked: Any, images: Any, labels: Any, folder: Path) -> None:
    """The same number of batches, then the judge."""
    import luoxia
    from luoxia.media.image.writer import write_grid
    from luoxia.provenance.label import Label

    judge = Judge.open(asked.data, asked.quick)
    steps = max(1, round(asked.epochs * len(images) / BATCH))
    progress(f"the script, {steps:,} batches")
    peer = Peer(images, labels)
    seconds_peer = peer.train(steps)
    progress(f"luoxia, {steps:,} batches")
    run, seconds_ours = train_ours(asked.data, steps, folder / "quality")
    samples = {
        "script": peer.sample(asked.samples),
        "Luoxia `gan`": luoxia.load(run.path).sample(asked.samples),
    }
    rows = []
    for name, seconds in (("script", seconds_peer), ("Luoxia `gan`", seconds_ours)):
        rows.append((name, f"{steps:,}", f"{seconds:.0f} s", *judge.report(samples[name]).cells()))
        file = Path(asked.out) / f"{'peer' if name == 'script' else 'luoxia'}.png"
        write_grid(file, samples[name][:64], Label(system=name, version="", step=steps))
        progress(f"wrote {file}")
    columns = (f"{asked.samples:,} samples after {asked.epochs:g} epochs", "batches", "trained in", *JUDGED)
    table(
        columns,
        [*rows, ("real digits", None, None, *judge.report(images[: asked.samples, :, :, None]).cells())],
    )


if __name__ == "__main__":
    main()
