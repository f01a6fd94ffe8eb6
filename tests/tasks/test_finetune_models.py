"""Every trained run can be fine-tuned: translators of texts and images, classifiers, embedders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

Command = Callable[..., Result]
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NULL = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
TEXT = (
    "layers=1", "heads=2", "width=32", "vocabulary=300", "dropout=0", "sample_every=0", "precision=fp32", "device=cpu",
)  # fmt: skip
IMAGES = (
    "width=8", "d_width=8", "blocks=1", "batch=2", "identity=0", "ema.halflife=20", "sample_every=0", "score_every=0",
    "device=cpu", "extractor=pixels", "score_samples=8", "precision=fp32",
)  # fmt: skip


class Family(NamedTuple):
    """How a recipe is trained, on old data and new, and the score that tells whether that helped."""

    recipe: str
    data: Callable[[Path], None]
    old: tuple[str, ...]
    new: tuple[str, ...]
    steps: tuple[int, int]
    """Of the base model, and of those that are compared."""
    words: tuple[str, ...]
    score: str
    better: Callable[[float, float], bool]


def sentences(here: Path) -> None:
    """Sentences in which one word decides; some of those words stay, some are new."""
    kinds = {
        "animal": ("cat", "dog", "cow"),
        "color": ("red", "blue", "pink"),
        "fruit": ("fig", "plum", "lime"),
    }
    for name, chosen, rows in (("old", ("animal", "color"), 300), ("new", ("color", "fruit"), 100)):
        rng = np.random.default_rng(len(name))
        lines = []
        for row in range(rows):
            kind = chosen[row % 2]
            words = [*rng.choice(("the", "a", "very", "some"), 3), str(rng.choice(kinds[kind]))]
            lines.append(json.dumps({"text": " ".join(rng.permutation(words)), "kind": kind}))
        (here / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def numbers(here: Path) -> None:
    """Numbers in words of two languages: of any digits, then of those from 3 on."""
    for name, least, rows in (("old", 0, 600), ("new", 3, 120)):
        chosen = np.random.default_rng(least).integers(least, 10, (rows, 3))
        lines = ["\t".join(" ".join(side[i] for i in row) for side in (ONES, NULL)) for row in chosen]
        (here / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def squares(here: Path) -> None:
    """Bright squares on dark grounds against negatives of others; the new ones are of another size and brightness."""
    rng = np.random.default_rng(0)
    for name, ground, side in (("old", 25, 6), ("new", 40, 5)):
        for kind in ("dark", "bright"):
            (here / name / kind).mkdir(parents=True)
            for number in range(30):
                image = np.full((16, 16, 3), ground, np.uint8)
                top, left = rng.integers(1, 9, 2)
                image[top : top + side, left : left + side] = rng.integers(140, 230, 3)
                if kind == "bright":
                    image = 255 - image
                Image.fromarray(image).save(here / name / kind / f"{number:02}.png")


def more(a: float, b: float) -> bool:
    return a > b


def less(a: float, b: float) -> bool:
    return a < b


FAMILIES = {
    family.recipe: family
    for family in (
        Family("classify-text", sentences, ("data=old.jsonl", "label=kind"), ("data=new.jsonl", "label=kind"),
               (60, 4), ("batch=512", *TEXT), "accuracy", more),
        Family("embed-text", numbers, ("data=old.tsv",), ("data=new.tsv",), (100, 6), ("batch=16", *TEXT), "MRR", more),
        Family("translate", numbers, ("data=old.tsv",), ("data=new.tsv",), (150, 20),
               ("batch=512", "schedule.warmup=5", "ema.halflife=2000", *TEXT), "chrF", more),
        Family("cyclegan", squares, ("data=old/dark", "against=old/bright"), ("data=new/dark", "against=new/bright"),
               (130, 6), ("lr=5e-3", "schedule=constant", *IMAGES), "cycle error a2b", less),
    )
}  # fmt: skip


def final(run: str, name: str) -> float:
    records = map(json.loads, Path(run, "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    scores = [record for record in records if record["kind"] == "score" and record["final"]][-1]["scores"]
    return float(next(score["value"] for score in scores if score["name"] == name))


@pytest.mark.parametrize("recipe", FAMILIES)
def test_it_begins_better_than_from_scratch(here: Path, luoxia_command: Command, recipe: str) -> None:
    family = FAMILIES[recipe]
    family.data(here)
    for out, data, steps in (("base", family.old, family.steps[0]), ("scratch", family.new, family.steps[1])):
        command = ("train", recipe, *data, *family.words, f"steps={steps}", f"out={out}")
        trained = luoxia_command(*command)
        assert trained.exit_code == 0, trained.stderr
    tuned = luoxia_command(
        "finetune",
        "base",
        *family.new,
        f"steps={family.steps[1]}",
        "device=cpu",
        "precision=fp32",
        "out=tuned",
    )
    assert tuned.exit_code == 0, tuned.stderr
    print(recipe, *(final(run, family.score) for run in ("base", "tuned", "scratch")), tuned.stderr)
    assert family.better(final("tuned", family.score), final("scratch", family.score))
