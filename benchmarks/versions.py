"""Two versions of Luoxia, old against new in alternation: what a change of the code has cost or saved.

For each probe either version lives in a process of its own, with its checkout's ``src`` and ``benchmarks`` on the path,
so that it is driven by its own scripts. Both set up once; then they measure by turns, for a moment each, while the
other waits: a change of the machine's speed meets both alike. The probes: whole trainings of ``gan`` (seed_gan.py),
steps of ``dcgan`` (time_to_quality.py), steps of ``gpt`` (time_to_loss.py), greedy writing of 1 and 32 texts
(decoding.py), and starts of the command line. A row's ratio is that of the pairs' rates; "result" tells whether both
computed the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from common import arguments, median, progress, ratio, table

Measure = Callable[[], float]
"""Works for a moment; how much of it was done in a second."""
Prepared = tuple[Measure, Any]
"""What measures, after something was computed that both versions should agree on."""
WARM = 10
"""Steps before the first measurement."""


def probe_gan(data: Path, out: Path, share: float) -> Prepared:
    """Steps a second of ``luoxia.train("gan")``; the sum of the generator's weights."""
    from safetensors.numpy import load_file

    from seed_gan import train_ours

    steps, numbers = max(10, int(80 * share)), count()

    def train() -> tuple[Any, float]:
        return train_ours(str(data / "mnist-train.npz"), steps, out / str(next(numbers)))

    run, _ = train()
    return lambda: steps / train()[1], _sum(load_file(run.path / "model" / "model.safetensors"))


def probe_dcgan(data: Path, out: Path, share: float) -> Prepared:
    """Steps a second of ``dcgan``, with its log and its checkpoints; the sum of the networks' weights."""
    from time_to_quality import open_session, ours

    session = open_session(str(data / "mnist-train.npz"), 0, out)
    measure = _steps(ours(session), max(2, int(12 * share)))
    states = (network.state_dict() for network in session.trainer.networks.values())
    return measure, sum(_sum({key: value.numpy() for key, value in state.items()}) for state in states)


def probe_gpt(data: Path, out: Path, share: float) -> Prepared:
    """Steps a second of ``gpt``; its loss on the text that was held out."""
    from time_to_loss import Ours

    mine = Ours(str(data / "tinyshakespeare.txt"), out, ["batch=12", "steps=100000"])
    return _steps(mine.step, max(2, int(10 * share))), mine.loss()


def probe_decoding(batch: int, share: float) -> Prepared:
    """Tokens a second of the 10M model, greedy, in float32; what it wrote."""
    import torch

    from decoding import MODELS, PROMPT, network, seconds, writer

    ids = torch.randint(1, MODELS["10M"][3], (batch, PROMPT), generator=torch.Generator().manual_seed(1))
    write, tokens = writer(network("10M"), ids), max(4, int((64 if batch == 1 else 16) * share))
    wrote = str(write(8))
    return lambda: batch * tokens / seconds(write, tokens), wrote


def probe_start(*words: str) -> Prepared:
    """Starts of a command a second."""

    def start() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "luoxia", *words], check=True, capture_output=True)
        return 1 / (time.perf_counter() - began)

    start()
    return start, ""


PROBES: dict[str, Callable[[Path, Path, float], Prepared]] = {
    "gan": probe_gan,
    "dcgan": probe_dcgan,
    "gpt": probe_gpt,
    "decoding 1": lambda data, out, share: probe_decoding(1, share),
    "decoding 32": lambda data, out, share: probe_decoding(32, share),
    "luoxia --help": lambda data, out, share: probe_start("--help"),
    "luoxia recipes dcgan": lambda data, out, share: probe_start("recipes", "dcgan"),
}


def _steps(step: Callable[[], Any], steps: int) -> Measure:
    """What measures so many steps, after the first few."""
    for _ in range(WARM):
        step()

    def measure() -> float:
        began = time.perf_counter()
        for _ in range(steps):
            step()
        return steps / (time.perf_counter() - began)

    return measure


def _sum(tensors: dict[str, Any]) -> float:
    return float(sum(tensors[name].astype("float64").sum() for name in sorted(tensors)))


# ------------------------------------------------------------------ the process of one version


def serve(name: str, data: Path, share: float) -> None:
    """Print the probe's result, and a rate for each line of standard input; other output goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        measure, result = PROBES[name](data, Path(folder) / "runs", share)
        print(json.dumps(result), file=answers, flush=True)
        for _ in sys.stdin:
            print(json.dumps(measure()), file=answers, flush=True)


class Version:
    """A version at work on one probe, in a process that waits until it is asked."""

    def __init__(self, checkout: Path, name: str, data: Path, share: float) -> None:
        path = os.pathsep.join([str(checkout / "src"), str(checkout / "benchmarks")])
        words = [str(Path(__file__).resolve()), "--data", str(data), "--probe", name, "--share", str(share)]
        self.process = subprocess.Popen(
            [sys.executable, *words], env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.result = self._answer()

    def measure(self) -> float:
        """The rate of a moment."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a probe ended with exit code {self.process.wait()}; its error is above")
        return json.loads(line)

    def end(self) -> None:
        """Let the process go."""
        self.process.communicate()


def compare(name: str, old: Path, new: Path, data: Path, share: float, pairs: int) -> list[Any]:
    """A row of the table."""
    sides = [Version(checkout, name, data, share) for checkout in (old, new)]
    rates: list[list[float]] = [[], []]
    for turn in range(pairs):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):  # each goes first in every other pair
            rates[side].append(sides[side].measure())
    for version in sides:
        version.end()
    same = "same" if sides[0].result == sides[1].result else "other"
    return [name, median(rates[0]), median(rates[1]), ratio(rates[1], rates[0]), same]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="a folder with mnist-train.npz and tinyshakespeare.txt")
    parser.add_argument("--old", help="a checkout of the older version")
    parser.add_argument(
        "--new", default=str(Path(__file__).parent.parent), help="a checkout of the newer one"
    )
    parser.add_argument("--pairs", type=int, default=20, help="pairs of measurements of each probe")
    parser.add_argument("--only", choices=PROBES, nargs="*", help="these probes")
    parser.add_argument("--probe", choices=PROBES, help="be the process of one version")
    parser.add_argument("--share", type=float, default=1, help="of the usual length of a measurement")
    asked = parser.parse_args()
    if asked.probe:
        serve(asked.probe, Path(asked.data), asked.share)
        return
    if asked.old is None:
        parser.error("--old CHECKOUT is missing")
    share, pairs = (0.2, 2) if asked.quick else (asked.share, asked.pairs)
    places = [Path(place).resolve() for place in (asked.old, asked.new, asked.data)]
    rows = []
    for name in asked.only or PROBES:
        rows.append(compare(name, *places, share, pairs))
        progress(str(rows[-1]))
    table(("probe", "old, a second", "new, a second", "new / old", "result"), rows)


if __name__ == "__main__":
    main()
