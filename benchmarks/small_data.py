"""Little data: some 200 images from scratch, fine-tuned, and fine-tuned with FreezeD and ADA, at equal steps.

The origin learns from ``--source``. Each way then learns from the same ``--count`` images of ``--target``, drawn by
``--seed``, for the same number of steps; that of the origin's training stands above the table. Scores are those of
``luoxia measure`` by EfficientNet-Lite0 (``--extractor``) against all images of the target, those learned from and the
others: KID tells how near the samples are to the whole; ``copy rate`` and ``nn distance ratio``, against those learned
from alone, whether they are copies of these; ``duplicates`` whether they are copies of each other.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import arguments, header, progress, table

WAYS = ("from scratch", "fine-tuned", "fine-tuned, FreezeD", "fine-tuned, FreezeD + ADA")
NEAR, COPIES = ("KID", "FD", "recall"), ("copy rate", "duplicates", "nn distance ratio")


@dataclass
class Outcome:
    """One way's scores and its cost."""

    way: str
    scores: dict[str, float | None]
    seconds: float


def few(target: str, size: str, count: int, seed: int, folder: Path) -> tuple[Path, Path]:
    """Files with the ``count`` images that are learned from, and with all."""
    import numpy as np

    import luoxia

    images = np.asarray(luoxia.open_images(target, size).images)
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    paths = folder / "few.npz", folder / "all.npz"
    for path, part in zip(paths, (images[rows], images), strict=True):
        np.savez(path, images=part)
    return paths


def settings_of(way: str, given: argparse.Namespace) -> dict[str, Any]:
    """The keys that tell the ways apart."""
    frozen = {"freeze_d": given.freeze_d} if "FreezeD" in way else {}
    return {**frozen, **({"augment": "ada"} if "ADA" in way else {})}


def train(way: str, origin: Path, data: Path, out: Path, given: argparse.Namespace) -> tuple[Any, float]:
    """Train one way; returns the run and the seconds of it."""
    import luoxia

    common = {
        "data": str(data), "size": given.size, "steps": given.steps, "seed": given.seed, "device": given.device,
        "holdout": 0, "extractor": "none", "score_every": 0, "sample_every": 0, "out": str(out), "quiet": True,
        "checkpoint_every": given.steps, **dict(word.split("=", 1) for word in given.settings),
    }  # fmt: skip
    began = time.perf_counter()
    if way == WAYS[0]:
        run = luoxia.train(given.recipe, **common)
    else:
        run = luoxia.finetune(origin, **{**common, **settings_of(way, given)})
    return run, time.perf_counter() - began


def score(run: Path, learned: Path, whole: Path, given: argparse.Namespace) -> dict[str, float | None]:
    """Against the whole for nearness, against what was learned from for copies."""
    import luoxia

    fakes = luoxia.load(run).sample(given.samples, seed=given.seed + 1)
    found: dict[str, float | None] = {}
    for against, names in ((whole, NEAR), (learned, COPIES)):
        measured = luoxia.measure(
            data=fakes, against=luoxia.open_images(str(against)), extractor=given.extractor, seed=given.seed
        )
        for told in measured.scores:
            name = told.name.split("-")[0]
            if name in names:
                found[name] = told.value
    return found


def compare(given: argparse.Namespace, folder: Path) -> list[Outcome]:
    """The origin, unless one is given, and then each way."""
    import luoxia

    origin = folder / "origin" if given.origin is None else Path(given.origin)
    if given.origin is None:
        progress(f"the origin: {given.origin_steps:,} steps of {given.recipe} on {given.source}")
        luoxia.train(
            given.recipe, data=given.source, size=given.size, steps=given.origin_steps, seed=given.seed,
            device=given.device, extractor="none", score_every=0, sample_every=0, out=str(origin), quiet=True,
            **dict(word.split("=", 1) for word in given.settings),
        )  # fmt: skip
    learned, whole = few(given.target, given.size, given.count, given.seed, folder)
    outcomes = []
    for number, way in enumerate(WAYS):
        progress(f"{way}: {given.steps:,} steps")
        run, seconds = train(way, origin, learned, folder / f"way-{number}", given)
        outcomes.append(Outcome(way, score(run.path, learned, whole, given), seconds))
        if given.keep:
            import shutil

            shutil.copytree(run.path, Path(given.keep) / f"way-{number}", dirs_exist_ok=True)
    return outcomes


def main() -> None:
    """Train, measure, and print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--source", required=True, help="many images, such as emoji-noto.zip")
    parser.add_argument(
        "--target", required=True, help="others, of which few are learned from: emoji-twemoji.zip"
    )
    parser.add_argument("--count", type=int, default=200, help="images of the target that are learned from")
    parser.add_argument("--recipe", default="stylegan2")
    parser.add_argument("--size", default="32", help="pixels a side")
    parser.add_argument("--origin", help="a run on the source, instead of training one")
    parser.add_argument("--origin-steps", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=1000, help="of each way")
    parser.add_argument("--freeze-d", type=int, default=2, help="blocks of D that are frozen")
    parser.add_argument("--samples", type=int, default=2000, help="that are scored")
    parser.add_argument("--extractor", default="effnet-lite0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--keep", help="a folder for the runs")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of every training")
    given = parser.parse_args()
    if given.quick:
        given.recipe, given.size, given.origin_steps, given.steps = "dcgan", "16", 20, 5
        given.samples, given.settings, given.freeze_d = 100, ["width=4", "latent=8"], 1
    header(f"{given.count} images of {Path(given.target).stem}, after {Path(given.source).stem}", given.quick)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = compare(given, Path(folder))
    first = "an origin that was there" if given.origin else f"an origin of {given.origin_steps:,} steps"
    print(f"`{given.recipe}` at {given.size} pixels, {first}, {given.steps:,} steps each.\n")
    names = (*NEAR, *COPIES)
    table(("training", *names, "seconds"), ([o.way, *map(o.scores.get, names), o.seconds] for o in outcomes))


if __name__ == "__main__":
    main()
