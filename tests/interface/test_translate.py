"""A translator as a user meets it: trained on two aligned files, resumed, asked."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import luoxia

ENGLISH = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
GERMAN = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"]
SMALL = ("layers=1", "heads=2", "width=32", "vocabulary=300", "batch=512", "sample_every=0", "device=cpu")
TRAIN = ("train", "translate", "data=numbers.en", "against=numbers.de", *SMALL)


@pytest.fixture
def numbers(here: Path) -> Path:
    """A language of ten words, each with one translation, the order kept."""
    chosen = np.random.default_rng(0).integers(0, 10, (600, 3))
    for ending, words in (("en", ENGLISH), ("de", GERMAN)):
        lines = [" ".join(words[i] for i in row) for row in chosen]
        (here / f"numbers.{ending}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return here


def test_it_learns_to_translate(numbers, luoxia_command):
    words = ("steps=250", "schedule.warmup=20", "dropout=0", "ema.half_life=20000", "out=run")
    trained = luoxia_command(*TRAIN, *words)
    assert trained.exit_code == 0, trained.stderr
    assert "600 pairs" in trained.stderr
    records = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    final = [record for record in records if record["kind"] == "score" and record["final"]][-1]
    scores = {score["name"]: score["value"] for score in final["scores"]}
    assert scores["chrF"] > 80, scores  # three words have no BLEU, which counts 4-grams
    assert luoxia_command("translate", "run", "two seven nine").stdout.strip() == "zwei sieben neun"
    Path("lines.txt").write_text("one one ten\n\nfive six two\n", encoding="utf-8")
    assert luoxia_command("translate", "run", "lines.txt", "out=out.de").exit_code == 0
    first, empty, last = Path("out.de").read_text(encoding="utf-8").splitlines()
    assert (empty, last) == ("", "fünf sechs zwei")
    assert first == luoxia.load("run").translate("one one ten")
    Path("rows.csv").write_text("id;en\n1;one one ten\n", encoding="utf-8")
    assert luoxia_command("translate", "run", "rows.csv", "field=en").stdout.strip() == first


def test_a_resumed_run_equals_an_uninterrupted_one(numbers, luoxia_command):
    for out, steps in (("whole", 8), ("parts", 5)):
        words = (f"steps={steps}", "schedule=constant", "score_samples=2", f"out={out}")
        assert luoxia_command(*TRAIN, *words).exit_code == 0
    assert luoxia_command("resume", "parts", "steps=8").exit_code == 0
    assert "and cannot sample; use luoxia translate" in luoxia_command("sample", "parts").stderr
    measured = luoxia_command("measure", "parts", "--json")
    assert measured.exit_code == 0, measured.stderr
    records = map(json.loads, Path("parts/metrics.jsonl").read_text(encoding="utf-8").splitlines())
    first, again = [record["scores"] for record in records if record.get("final")][-2:]
    assert first == again == json.loads(measured.stdout)["scores"]
    other = luoxia_command("measure", "parts", "data=numbers.en", "against=numbers.de", "n=3", "--json")
    assert json.loads(other.stdout)["scores"][0]["signature"]["sentences"] == 3
    whole, parts = (luoxia.load(out).network.state_dict() for out in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_papers_training_averages_checkpoints_and_resumes(numbers, luoxia_command, refused):
    """Stopped at a step that is no multiple of checkpoint_every, a run averages what it would have."""
    words = (
        "style=vaswani",
        "checkpoint_every=2",
        "average_checkpoints=3",
        "keep_checkpoints=1",
        "score_samples=0",
        "lr=0.01",
    )
    for out, steps in (("whole", 9), ("parts", 5)):
        trained = luoxia_command(*TRAIN, *words, f"steps={steps}", f"out={out}")
        assert trained.exit_code == 0, trained.stderr
    assert luoxia_command("resume", "parts", "steps=9").exit_code == 0
    whole, parts = (luoxia.load(out).network.state_dict() for out in ("whole", "parts"))
    kept = [
        load_file(Path(f"whole/checkpoints/step_{step:06d}/translator.safetensors")) for step in (6, 8, 9)
    ]
    last = luoxia.load("whole", ema=False).network.state_dict()
    for name, value in whole.items():
        assert torch.equal(value, parts[name])
        torch.testing.assert_close(value, sum(state[name] for state in kept) / 3)
    assert any(not torch.equal(value, last[name]) for name, value in whole.items())
    told = refused(2, *TRAIN, "average_checkpoints=2", "out=both")
    assert "average_checkpoints=2 beside ema.half_life" in told


def test_bad_pairs_are_one_sentence(numbers, refused):
    Path("short.de").write_text("eins\n", encoding="utf-8")
    assert "600" in refused(2, "train", "translate", "data=numbers.en", "against=short.de", "out=new")
    assert "translate needs data=" in refused(2, "train", "translate", "out=new")
    assert "one side only" in refused(2, "train", "translate", "data=numbers.en", "out=new")
    assert not Path("new").exists()
