"""What a killed, resumed or disk-starved training is worth: every trial counted.

Runs of a small ``dcgan`` on the embedded digits are killed with SIGKILL within saves and at random moments of training,
then resumed; interrupted runs are compared with uninterrupted ones bit for bit; disks are filled and enlarged.
"""

from __future__ import annotations

import collections
import random
import signal
import sys
import tempfile
from pathlib import Path

from common import arguments, header, progress, table
from harness import SmallDisk as Disk
from harness import Trial, compare_interrupted, fill_disk, kill_while_saving, kill_while_training

SMALL = ("width=4", "batch=8")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--saves", type=int, default=50, help="kills within a save")
    parser.add_argument("--moments", type=int, default=20, help="kills at a random moment of training")
    parser.add_argument("--steps", type=int, default=120, help="steps of the runs compared bit for bit")
    parser.add_argument(
        "--kills", type=int, default=6, help="kills of each interrupted run of that comparison"
    )
    parser.add_argument("--disks", type=int, default=10, help="disks filled, each of another size")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.quick:
        asked.saves, asked.moments, asked.steps, asked.kills, asked.disks = 3, 2, 24, 2, 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no small disk stays mounted
    chance = random.Random(asked.seed)
    header("Faults", asked.quick)
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows += killings(folder, chance, asked.saves, asked.moments, notes)
        rows += comparisons(folder, chance, asked.steps, asked.kills, notes)
        rows += full_disks(folder, chance, asked.disks, notes)
    table(("what", "tried", "succeeded", "share"), [(*row, f"{row[2]} of {row[1]}") for row in rows])
    for note in notes:
        print(f"- {note}")


def killings(
    folder: Path, chance: random.Random, saves: int, moments: int, notes: list[str]
) -> list[tuple[str, int, int]]:
    """Kill and resume; kills that missed the save are counted apart, not left out."""
    during: list[Trial] = []
    missed: list[Trial] = []
    while len(during) < saves:
        trial = kill_while_saving(folder / f"save-{len(during)}-{len(missed)}", chance, *SMALL)
        (missed if trial.moment == "between saves" else during).append(trial)
        progress(f"{len(during)} of {saves} kills within a save: {trial.moment} {trial.fault}")
    training = []
    for number in range(moments):
        training.append(kill_while_training(folder / f"moment-{number}", chance, *SMALL))
        progress(f"{number + 1} of {moments} kills in training: {training[-1].moment} {training[-1].fault}")
    where = collections.Counter(trial.moment for trial in during)
    notes.append("Killed while " + ", ".join(f"{name}: {count}" for name, count in where.most_common()) + ".")
    trials = {
        "kill −9 within a save, then resume": during,
        "kill −9 aimed at a save that had just ended, then resume": missed,
        "kill −9 at a random moment of training, then resume": training,
    }
    notes += [f"Failed ({what}, {t.moment}): {t.fault}" for what, ts in trials.items() for t in ts if t.fault]
    return [(what, len(ts), sum(not t.fault for t in ts)) for what, ts in trials.items() if ts]


def comparisons(
    folder: Path, chance: random.Random, steps: int, kills: int, notes: list[str]
) -> list[tuple[str, int, int]]:
    """Tensors of the last checkpoint: networks, average, optimizers."""
    rows = []
    for recipe in ("dcgan", "wgan-gp"):
        found = compare_interrupted(folder, recipe, steps, kills, chance, *SMALL)
        progress(f"{recipe}: {found.tensors} tensors, {len(found.different)} differ")
        what = f"{recipe}: tensors (and next batches) equal bit for bit after {len(found.kills)} kills in {steps} steps"
        rows.append((what, found.tensors, found.tensors - len(found.different)))
        if found.different:
            notes.append(f"Different in {recipe}: {', '.join(found.different[:8])}")
    return rows


def full_disks(
    folder: Path, chance: random.Random, disks: int, notes: list[str]
) -> list[tuple[str, int, int]]:
    """Sizes differ, so that different writes are the first to fail."""
    if not Disk.available(folder):
        notes.append("Full disks: left out, because mounting a small tmpfs needs root.")
        return []
    found = []
    for number in range(disks):
        found.append(fill_disk(folder / f"disk-{number}", chance.uniform(4, 8), *SMALL))
        progress(f"disk {number + 1} of {disks}: {found[-1].sentence} {found[-1].fault}")
    notes.append(f"A full disk says, for example: “{found[0].sentence}”")
    notes += [f"Failed (full disk): {one.fault}" for one in found if one.fault]
    what = "disk full: one sentence, the earlier checkpoint loads, resume after making room"
    return [(what, disks, sum(not one.fault for one in found))]


if __name__ == "__main__":  # the children import this file too
    main()
