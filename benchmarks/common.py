"""What every benchmark needs: the machine in a line, Markdown tables, medians, and an independent judge of digits."""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line does, before torch's first tensor

TRAINED = 55_000
"""The judge learns from the digits before this one and is examined on the rest."""


def arguments(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with ``--quick``; ``defaults`` go to ``ArgumentParser``."""
    first = (description or "").strip().partition("\n\n")[0]
    parser = argparse.ArgumentParser(description=first, **defaults)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: seconds of work, figures of no worth"
    )
    return parser


def header(title: str, quick: bool = False) -> None:
    """Print a heading and the machine: CPU, threads, versions, day."""
    import torch

    from luoxia import __version__
    from luoxia.training.hardware import device_name

    threads = torch.get_num_threads()
    machine = (
        f"{device_name(torch.device('cpu'))}, {threads} thread{'s' * (threads > 1)} of {os.cpu_count()} CPUs, "
        f"Python {sys.version.split()[0]}, torch {torch.__version__}, Luoxia {__version__}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )
    print(f"## {title}\n\n{machine}{' — quick: a smoke run' * quick}\n", flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a Markdown table."""
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(map(cell, row))} |")
    print(flush=True)


def cell(value: Any) -> str:
    """A float to three significant digits, whole numbers with commas, None as a dash."""
    if value is None:
        return "—"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0 or abs(value) >= 100:
            return f"{value:,.0f}"
        return f"{value:.3g}" if isinstance(value, float) else str(value)
    return str(value)


def progress(text: str) -> None:
    """Say on standard error what goes on; tables alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of the pairs' quotients, and their range: '3.1 × (2.9 – 3.3)'."""
    quotients = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{median(quotients):.3g} × ({min(quotients):.3g} – {max(quotients):.3g})"


# ------------------------------------------------------------------ trainings


def open_session(recipe: str, settings: dict[str, Any], out: str | Path) -> Any:
    """What ``luoxia train RECIPE key=value … out=OUT`` sets up, before its first step: a ``Session``."""
    from luoxia.registry import task_of
    from luoxia.runs.display import Display
    from luoxia.runs.run import Run
    from luoxia.tasks.menu import find
    from luoxia.training.distributed import join_world
    from luoxia.training.hardware import keep_freed_memory
    from luoxia.verbs.course import settled_session

    keep_freed_memory()  # as a training does when it begins
    config = find(recipe).from_settings(settings)
    data, run = task_of(config).open(config), Run.create(str(out), recipe)
    return settled_session(config, run, data, join_world(config.device), Display(quiet=True))


# ------------------------------------------------------------------ digits


def read_digits(path: str | Path) -> tuple[Any, Any]:
    """Read ``images`` uint8 (n, 28, 28) and ``labels`` int64 (n,) from an .npz."""
    import numpy as np

    with np.load(path) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    return images.reshape(len(images), *images.shape[1:3]), labels


@dataclass(frozen=True)
class Verdict:
    """What the judge sees in samples: its mean confidence, and the share of each class."""

    confidence: float
    shares: tuple[float, ...]

    @property
    def smallest(self) -> float:
        """The share of the rarest class."""
        return min(self.shares)

    @property
    def largest(self) -> float:
        """The share of the most frequent class."""
        return max(self.shares)

    @property
    def covered(self) -> int:
        """Classes with at least 1% of the samples."""
        return sum(share >= 0.01 for share in self.shares)

    def cells(self) -> list[str]:
        """Confidence, classes, smallest share, largest share, as a table shows them."""
        return [f"{self.confidence:.3f}", str(self.covered), f"{self.smallest:.1%}", f"{self.largest:.1%}"]


JUDGED = ("confidence", "classes ≥ 1%", "smallest class", "largest class")
"""The headings of ``Verdict.cells``."""


class Judge:
    """An MNIST classifier that shares neither architecture, training nor data split with Luoxia's own extractor."""

    def __init__(self, network: Any, accuracy: float) -> None:
        self.network = network
        self.accuracy = accuracy

    @classmethod
    def open(cls, data: str | Path, quick: bool = False) -> Judge:
        """From the cache, or trained now: six epochs, under a minute on two quiet cores (quick: a tenth of one)."""
        import torch
        from safetensors.torch import load_file, save_file

        from luoxia.core.cache import cache_folder

        images, labels = read_digits(data)
        count = min(TRAINED, len(images) * 11 // 12)
        content = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16]
        files = {
            epochs: cache_folder() / "benchmarks" / f"judge-{content}-{epochs:g}.safetensors"
            for epochs in (6, 0.1)
        }
        epochs = 0.1 if quick and not files[6].exists() else 6
        file = files[epochs]
        network = _network().to(memory_format=torch.channels_last)
        began = time.perf_counter()
        cached = file.exists()
        if cached:
            network.load_state_dict(load_file(file))
        else:
            progress("training the judge")
            _teach(network, images[:count], labels[:count], epochs)
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, file)
        network.eval()
        judge = cls(network, 0.0)
        right = judge.probabilities(images[count:, :, :, None]).argmax(1).numpy() == labels[count:]
        judge.accuracy = float(right.mean())
        how = "cached" if cached else f"trained in {time.perf_counter() - began:.0f} s"
        print(f"Judge: {judge.accuracy:.2%} of {len(right):,} unseen digits ({how}).\n", flush=True)
        return judge

    def probabilities(self, images: Any) -> Any:
        """uint8 (n, 28, 28, 1) → float32 (n, 10)."""
        import torch

        with torch.inference_mode():
            parts = [self.network(_scaled(part)).softmax(1) for part in torch.from_numpy(images).split(500)]
        return torch.cat(parts)

    def report(self, images: Any) -> Verdict:
        """Judge samples, uint8 (n, 28, 28, 1)."""
        import torch

        probabilities = self.probabilities(images)
        shares = torch.bincount(probabilities.argmax(1), minlength=10) / len(images)
        return Verdict(probabilities.max(1).values.mean().item(), tuple(shares.tolist()))


def _network() -> Any:
    from torch import nn

    def conv(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *conv(1, 32), *conv(32, 32), nn.MaxPool2d(2),
        *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2),
        *conv(64, 128), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(512, 10),
    )  # fmt: skip


def _scaled(images: Any) -> Any:
    """uint8 (n, h, w, 1) → float32 (n, 1, h, w) in [−1, 1]."""
    import torch

    return (images.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _teach(network: Any, images: Any, labels: Any, epochs: float, batch: int = 128) -> None:
    """One-cycle AdamW on batches shifted by up to two pixels."""
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    pixels, targets = torch.from_numpy(images)[..., None], torch.from_numpy(labels)
    steps = int(epochs * len(pixels) / batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    network.train()
    order = torch.cat([torch.randperm(len(pixels)) for _ in range(int(epochs) + 1)])
    for step in range(steps):
        rows = order[step * batch : (step + 1) * batch]
        shifts = tuple(torch.randint(-2, 3, (2,)).tolist())
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(torch.roll(_scaled(pixels[rows]), shifts, (2, 3)))
        loss = functional.cross_entropy(logits.float(), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
