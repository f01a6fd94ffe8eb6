"""Every trained run can be fine-tuned: translators of texts and images, classifiers, embedders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

import luoxia
from luoxia.training.checkpoint import load_latest

Command = Callable[..., Result]
Refusal = Callable[..., str]
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NULL = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
TEXT = (
    "layers=1", "heads=2", "width=32", "vocabulary=300", "dropout=0", "sample_every=0", "precision=fp32", "device=cpu",
)  # fmt: skip
IMAGES = (
    "width=8", "d_width=8", "blocks=1", "batch=2", "identity=0", "ema.half_life=20", "sample_every=0", "score_every=0",
    "device=cpu", "extractor=none", "precision=fp32",
)  # fmt: skip


OWN = ("sample_every=0", "score_every=0", "device=cpu", "precision=fp32")
"""Keys that a fine-tuning does not inherit."""


class Family(NamedTuple):
    """How a recipe is trained, on old data and new, and the score that tells whether that helped."""

    recipe: str
    data: Callable[[Path], None]
    old: tuple[str, ...]
    new: tuple[str, ...]
    steps: tuple[int, int]
    """Of the base model, and of those that are compared."""
    words: tuple[str, ...]
    score: Callable[[str], float]
    """Of a run on new data; the higher the better."""


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


def final(name: str) -> Callable[[str], float]:
    """A score on held-out examples."""

    def score(run: str) -> float:
        records = map(json.loads, Path(run, "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        scores = [record for record in records if record["kind"] == "score" and record["final"]][-1]["scores"]
        return float(next(score["value"] for score in scores if score["name"] == name))

    return score


def inverted(run: str) -> float:
    """How near translations of dark images are to their negatives."""
    dark = np.stack([np.asarray(Image.open(file)) for file in sorted(Path("new/dark").iterdir())])
    return -float(np.abs(luoxia.load(run).translate(dark).astype(int) - (255 - dark.astype(int))).mean())


FAMILIES = {
    family.recipe: family
    for family in (
        Family("classify-text", sentences, ("data=old.jsonl", "label=kind"), ("data=new.jsonl", "label=kind"),
               (40, 4), ("batch=512", *TEXT), final("accuracy")),
        Family("embed-text", numbers, ("data=old.tsv",), ("data=new.tsv",), (60, 6), ("batch=16", *TEXT), final("MRR")),
        Family("translate", numbers, ("data=old.tsv",), ("data=new.tsv",), (100, 12),
               ("batch=512", "schedule.warmup=5", "ema.half_life=2000", *TEXT), final("chrF")),
        Family("cyclegan", squares, ("data=old/dark", "against=old/bright"), ("data=new/dark", "against=new/bright"),
               (130, 6), ("lr=5e-3", "schedule=constant", *IMAGES), inverted),
    )
}  # fmt: skip


def weights(run: str) -> dict[str, torch.Tensor]:
    tensors = load_latest(Path(run, "checkpoints")).tensors
    return {f"{file}/{name}": value for file, group in tensors.items() for name, value in group.items()}


@pytest.mark.parametrize("recipe", FAMILIES)
def test_it_begins_where_the_run_ended(here: Path, luoxia_command: Command, recipe: str) -> None:
    """Better than from scratch in as many steps; resumed bit for bit without the run that it began with."""
    family = FAMILIES[recipe]
    family.data(here)
    first, few = family.steps

    def command(*words: object) -> str:
        result = luoxia_command(*words)
        assert result.exit_code == 0, result.stderr
        return str(result.stderr)

    command("train", recipe, *family.old, *family.words, f"steps={first}", "out=base")
    command("train", recipe, *family.new, *family.words, f"steps={few}", "out=scratch")
    scored = () if recipe != "cyclegan" else ("extractor=none",)
    common = (*family.new, "schedule=constant", *OWN, *scored)
    shown = command("finetune", "base", *common, f"steps={few}", "out=tuned")
    assert family.score("tuned") > family.score("scratch"), (family.score("base"), shown)
    assert f"carried over from base, step {first}" in shown
    manifest = json.loads(Path("tuned/run.json").read_text(encoding="utf-8"))
    base = json.loads(Path("base/run.json").read_text(encoding="utf-8"))
    assert all(facts["tensors"] == facts["of_tensors"] for facts in manifest["origin"]["networks"].values())
    assert manifest["config"]["lr"] == base["config"]["lr"] / 2
    assert manifest["config"]["width"] == base["config"]["width"]
    if recipe == "classify-text":
        assert manifest["origin"]["classes"] == {"carried": ["color"], "fresh": ["fruit"], "left": ["animal"]}
        assert luoxia.load("tuned").classes == ("color", "fruit")
    if recipe != "cyclegan":
        assert luoxia.load("tuned").tokenizer.digest == luoxia.load("base").tokenizer.digest
    command("finetune", "base", *common, f"steps={few // 2}", "out=parts")
    shutil.rmtree("base")
    command("resume", "parts", f"steps={few}")
    whole, parts = weights("tuned"), weights("parts")
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("finetune", "base", "data=new.tsv", "vocabulary=400"),
            "vocabulary= is that of the model at init=base",
        ),
        (
            ("finetune", "base", "data=new.tsv", "width=16"),
            "fits this network: keep the recipe and the width of that run",
        ),
        (("finetune", "base"), "finetune needs data to learn from: luoxia finetune base data=PATH"),
        (
            ("train", "translate", "data=new.tsv", "init=base"),
            "base contains a text embedder, expected a translator",
        ),
    ],
)
def test_what_cannot_be_fine_tuned(
    here: Path, luoxia_command: Command, refused: Refusal, words: tuple[str, ...], sentence: str
) -> None:
    numbers(here)
    base = ("train", "embed-text", "data=old.tsv", *TEXT, "steps=1", "batch=16", "out=base")
    assert luoxia_command(*base).exit_code == 0
    assert sentence in refused(2, *words)
