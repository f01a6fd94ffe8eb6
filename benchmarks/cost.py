"""What a step costs: seconds, images a second and peak memory, by image size and batch.

Each row is a process of its own that reads random RGB images from an .npz through Luoxia's real data path and trains.
Memory is the peak beyond what the imports alone take. A recipe with a lazy penalty pays for it every few steps: the
median is of the steps without, the average and the rate include it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, header, median, open_session, progress, table

IMAGES = 1024


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--recipe", nargs="+", default=["dcgan"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 64, 128])
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--steps", type=int, default=9, help="steps of each kind, the first unmeasured")
    parser.add_argument(
        "--longest", type=float, default=60, help="seconds after which no further step begins"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe")
    parser.add_argument("--worker", nargs=4, metavar=("RECIPE", "DATA", "BATCH", "OUT"), help="internal")
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(measure(*asked.worker, asked.steps, asked.longest, asked.set)))
        return
    if asked.quick:
        asked.sizes, asked.batches, asked.steps, asked.longest = [28, 64], [8], 3, 5.0
    header("Cost of a step", asked.quick)
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for size in asked.sizes:
            data = write_noise(Path(temporary) / f"{size}.npz", size, max(asked.batches))
            environment = {**os.environ, "LUOXIA_CACHE": str(Path(temporary) / "cache")}
            for recipe in asked.recipe:
                for batch in asked.batches:
                    out = Path(temporary) / f"{recipe}-{size}-{batch}"
                    rows.append(row(recipe, size, batch, data, out, asked, environment))
    columns = ("recipe", "pixels", "batch", "median step", "average step", "images a second", "peak memory")
    table((*columns, "precision"), rows)


def row(
    recipe: str, size: int, batch: int, data: Path, out: Path, asked: Any, environment: dict[str, str]
) -> tuple[Any, ...]:
    """One process; a dash where it failed."""
    command = [sys.executable, __file__, "--worker", recipe, str(data), str(batch), str(out)]
    command += ["--steps", str(asked.steps), "--longest", str(asked.longest), "--set", *asked.set]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    first = (recipe, f"{size} × {size}", batch)
    if done.returncode != 0:
        progress(f"{first}: {done.stderr[-300:]}")
        return (*first, f"failed ({done.returncode})", None, None, None, None)
    found = json.loads(done.stdout)
    progress(f"{first}: {found}")
    return (
        *first, f"{1000 * found['median']:,.0f} ms", f"{1000 * found['average']:,.0f} ms",
        found["rate"], f"{found['memory'] / 2**20:,.0f} MiB", found["precision"],
    )  # fmt: skip


def write_noise(path: Path, size: int, most: int) -> Path:
    """Random RGB images, at least a batch of them after the held-out ones are gone."""
    import numpy as np

    count = max(IMAGES, 2 * most)
    noise = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    np.savez(path, images=noise)
    return path


def measure(
    recipe: str, data: str, batch: str, out: str, steps: int, longest: float, settings: list[str]
) -> dict[str, Any]:
    """Train for ``steps`` steps of each kind in this process."""
    import torch

    before = peak_memory()
    given = dict(word.split("=", 1) for word in settings)
    session = open_session(recipe, {"data": data, "batch": batch, "device": "cpu", **given}, out)
    trainer, began = session.trainer, time.perf_counter()

    def timed(step: int) -> float:
        trainer.progress.step = step
        start = time.perf_counter()
        trainer.step()
        return time.perf_counter() - start

    def several(number: Any) -> list[float]:
        times = [timed(number(0))]
        for i in range(1, steps):
            if i > 2 and time.perf_counter() - began > longest:
                break
            times.append(timed(number(i)))
        return times[1:] or times

    lazy = max(phase.every for phase in trainer.phases)
    full = several(lambda i: i * lazy)  # every phase is due
    plain = several(lambda i: i * lazy + 1) if lazy > 1 else full
    average = median(plain) + (median(full) - median(plain)) / lazy
    return {
        "median": median(plain),
        "average": average,
        "rate": session.recipe.batch / average,
        "memory": peak_memory() - before,
        "precision": {torch.bfloat16: "bf16", torch.float32: "fp32"}[session.dtype],
    }


def peak_memory() -> int:
    """The largest resident size so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
