"""Two versions of Luoxia, old against new in alternation: what a change of the code has cost or saved.

Each probe runs in a process of its own, with one checkout's ``src`` and ``benchmarks`` on the path, so that each
version is driven by its own scripts: a training of ``gan`` (seed_gan.py), steps of ``dcgan`` (time_to_quality.py),
steps of ``gpt`` (time_to_loss.py), greedy writing of 1 and 32 texts (decoding.py), and the start of the command line.
A row's ratio is that of the pairs' rates; "result" tells whether both computed the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import arguments, median, progress, ratio, table


def probe_gan(data: Path, steps: int, out: Path) -> tuple[float, Any]:
    """Steps a second of ``luoxia.train("gan")``; the sum of the generator's weights."""
    from safetensors.numpy import load_file

    from seed_gan import train_ours

    run, seconds = train_ours(str(data / "mnist-train.npz"), steps, out)
    return steps / seconds, _sum(load_file(run.path / "model" / "model.safetensors"))


def probe_dcgan(data: Path, steps: int, out: Path) -> tuple[float, Any]:
    """Steps a second of ``dcgan``, with its log and its checkpoints."""
    from time_to_quality import open_session, ours

    session = open_session(str(data / "mnist-train.npz"), 0, out)
    return _rate(ours(session), steps), _network_sum(session)


def probe_gpt(data: Path, steps: int, out: Path) -> tuple[float, Any]:
    """Steps a second of ``gpt``; its loss on the text that was held out."""
    from time_to_loss import Ours

    mine = Ours(str(data / "tinyshakespeare.txt"), out, ["batch=12", f"steps={steps + 5}"])
    return _rate(mine.step, steps), mine.loss()


def probe_decoding(batch: int, steps: int) -> tuple[float, Any]:
    """Tokens a second of the 10M model, greedy, in float32; what it wrote."""
    import torch

    from decoding import MODELS, PROMPT, network, seconds, writer

    ids = torch.randint(1, MODELS["10M"][3], (batch, PROMPT), generator=torch.Generator().manual_seed(1))
    write = writer(network("10M"), ids)
    write(4)
    return batch * steps / seconds(write, steps), str(write(8))


def probe_start(words: list[str]) -> tuple[float, Any]:
    """Starts of a command a second."""
    began = time.perf_counter()
    for _ in range(3):
        subprocess.run([sys.executable, "-m", "luoxia", *words], check=True, capture_output=True)
    return 3 / (time.perf_counter() - began), ""


def _rate(step: Any, steps: int) -> float:
    for _ in range(5):
        step()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return steps / (time.perf_counter() - began)


def _network_sum(session: Any) -> float:
    states = (network.state_dict() for network in session.trainer.networks.values())
    return sum(_sum({key: value.numpy() for key, value in state.items()}) for state in states)


def _sum(tensors: dict[str, Any]) -> float:
    return float(sum(tensors[name].astype("float64").sum() for name in sorted(tensors)))


def run_probe(name: str, data: Path, share: float) -> None:
    """Run one probe in this process and print its rate and result as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        probes: dict[str, Any] = {
            "gan": lambda: probe_gan(data, int(400 * share), out),
            "dcgan": lambda: probe_dcgan(data, int(150 * share), out),
            "gpt": lambda: probe_gpt(data, int(100 * share), out),
            "decoding 1": lambda: probe_decoding(1, int(64 * share)),
            "decoding 32": lambda: probe_decoding(32, int(64 * share)),
            "luoxia --help": lambda: probe_start(["--help"]),
            "luoxia recipes dcgan": lambda: probe_start(["recipes", "dcgan"]),
        }
        rate, result = probes[name]()
    print(json.dumps({"rate": rate, "result": result}))


PROBES = ("gan", "dcgan", "gpt", "decoding 1", "decoding 32", "luoxia --help", "luoxia recipes dcgan")


def ask(checkout: Path, name: str, data: Path, share: float) -> dict[str, Any]:
    """A probe's rate and result in a fresh process with this checkout's code."""
    path = os.pathsep.join([str(checkout / "src"), str(checkout / "benchmarks")])
    words = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--data",
        str(data),
        "--probe",
        name,
        "--share",
        str(share),
    ]
    done = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="a folder with mnist-train.npz and tinyshakespeare.txt")
    parser.add_argument("--old", help="a checkout of the older version")
    parser.add_argument(
        "--new", default=str(Path(__file__).parent.parent), help="a checkout of the newer one"
    )
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each probe")
    parser.add_argument("--probe", choices=PROBES, help="run this one here and print its rate")
    parser.add_argument("--share", type=float, default=1, help="of the usual steps")
    asked = parser.parse_args()
    if asked.probe:
        run_probe(asked.probe, Path(asked.data), asked.share)
        return
    share, rounds = (0.1, 1) if asked.quick else (asked.share, asked.rounds)
    sides = {"old": Path(asked.old).resolve(), "new": Path(asked.new).resolve()}
    rows = []
    for name in PROBES:
        answers: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for turn in range(rounds):
            for side in sorted(sides, reverse=bool(turn % 2)):  # each goes first in every other pair
                answers[side].append(ask(sides[side], name, Path(asked.data).resolve(), share))
        rates = {side: [answer["rate"] for answer in given] for side, given in answers.items()}
        same = answers["old"][0]["result"] == answers["new"][0]["result"]
        rows.append(
            [
                name,
                median(rates["old"]),
                median(rates["new"]),
                ratio(rates["new"], rates["old"]),
                "same" if same else "other",
            ]
        )
        progress(str(rows[-1]))
    table(("probe", "old, a second", "new, a second", "new / old", "result"), rows)


if __name__ == "__main__":
    main()
