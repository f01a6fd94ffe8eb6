"""How long ``luoxia --help`` and ``import luoxia`` take, against an empty Python."""

from __future__ import annotations

import subprocess
import sys
import time

from common import arguments, header, median, table

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    'python -c "import luoxia"': [sys.executable, "-c", "import luoxia"],
    "luoxia --help": [sys.executable, "-m", "luoxia", "--help"],
    "luoxia recipes dcgan": [sys.executable, "-m", "luoxia", "recipes", "dcgan"],
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=15)
    asked = parser.parse_args()
    runs = 3 if asked.quick else asked.runs
    header("Start", asked.quick)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(runs + 1):  # the first of each fills the disk's cache
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if number:
                times[name].append(time.perf_counter() - began)
    empty = median(times["python -c pass"])
    rows = [
        (
            f"`{name}`",
            f"{1000 * median(t):.0f} ms",
            f"{1000 * max(t):.0f} ms",
            f"{1000 * (median(t) - empty):+.0f} ms",
        )
        for name, t in times.items()
    ]
    table(("command", f"median of {runs}", "slowest", "beyond an empty Python"), rows)


if __name__ == "__main__":
    main()
