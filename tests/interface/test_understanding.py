"""Classifiers and embedders as a user meets them: trained, resumed, asked, measured."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import luoxia
from luoxia.formats.registry import checked_label

COLORS, ANIMALS = ("red", "green", "blue", "pink"), ("cat", "dog", "cow", "pig")
FILLING = ("the", "a", "one", "and", "some", "very")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SMALL = (
    "layers=1",
    "heads=2",
    "width=32",
    "vocabulary=300",
    "dropout=0",
    "sample_every=0",
    "precision=fp32",
    "device=cpu",
)
CLASSIFY = ("train", "classify-text", "data=words.jsonl", "label=kind", "batch=1024", *SMALL)
EMBED = ("train", "embed-text", "data=numbers.tsv", "batch=32", *SMALL)


@pytest.fixture
def words(here: Path) -> Path:
    """Sentences in which one word decides."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(300):
        kind, deciding = (("color", COLORS), ("animal", ANIMALS))[int(rng.integers(2))]
        sentence = list(rng.choice(FILLING, rng.integers(1, 7)))
        sentence.insert(int(rng.integers(len(sentence) + 1)), str(rng.choice(deciding)))
        rows.append({"text": " ".join(sentence), "kind": kind})
    (here / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return here


@pytest.fixture
def numbers(here: Path) -> Path:
    """Numbers in digits and in words."""
    chosen = np.random.default_rng(0).choice(10_000, 500, replace=False)
    rows = [f"{n:04d}\t{' '.join(DIGITS[int(d)] for d in f'{n:04d}')}" for n in chosen]
    (here / "numbers.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return here


def final_scores(run: str) -> dict[str, float]:
    records = map(json.loads, Path(run, "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    scores = [record for record in records if record["kind"] == "score" and record["final"]]
    return {score["name"]: score["value"] for score in scores[-1]["scores"]}


def trained(luoxia_command, *words_: str) -> str:
    result = luoxia_command(*words_)
    assert result.exit_code == 0, result.stderr
    return str(result.stderr)


def test_a_classifier_learns_what_decides(words, luoxia_command, refused):
    told = trained(luoxia_command, *CLASSIFY, "steps=60", "score_every=20", "out=run")
    assert "300 texts of 2 classes" in told
    assert "doctor" not in told
    assert final_scores("run")["accuracy"] == 1, final_scores("run")
    label, probability = luoxia_command("classify", "run", "the very pig").stdout.split()
    assert label == "animal" and float(probability) > 0.8
    said = json.loads(luoxia_command("classify", "run", "pink", "--json").stdout)["items"]
    model = luoxia.load("run")
    assert model.classes == ("animal", "color")
    assert said[0]["probabilities"] == dict(
        zip(model.classes, model.probabilities("pink")[0].tolist(), strict=True)
    )

    Path("lines.txt").write_text("a cow, very\na red one\n", encoding="utf-8")
    assert luoxia_command("classify", "run", "lines.txt", "out=said.csv").stdout == "said.csv\n"
    with Path("said.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["text"], row["label"]) for row in rows] == [
        ("a cow, very", "animal"),
        ("a red one", "color"),
    ]
    luoxia_command("classify", "run", "words.jsonl", "out=said.jsonl")
    read = [json.loads(line) for line in Path("said.jsonl").read_text(encoding="utf-8").splitlines()]
    asked = [json.loads(line) for line in Path("words.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["label"] for row in read] == [row["kind"] for row in asked]
    assert "said.csv already exists" in refused(2, "classify", "run", "pink", "out=said.csv")

    report = Path("run/report.html").read_text(encoding="utf-8")
    assert "constant answer" in report and 'class="confusion"' in report and "tokens seen" in report
    assert "AI-generated" not in report
    sample = Path("run/samples/step_000060.txt").read_text(encoding="utf-8")
    assert "→ animal" in sample and "= color" in sample
    with Path("run/scores/confusion.csv").open(encoding="utf-8", newline="") as file:
        head, *counts = csv.reader(file)
    assert head[1:] == ["animal", "color"]
    assert [row[0] for row in counts] == head[1:]
    assert checked_label(Path("run/scores/confusion.csv")) is not None
    assert (counts[0][2], counts[1][1]) == ("0", "0") and int(counts[0][1]) + int(counts[1][2]) == 30


def test_classes_may_be_folders(words, luoxia_command):
    for kind, names in (("colors", COLORS), ("animals", ANIMALS)):
        for i in range(40):
            path = Path("texts", kind, f"{i}.txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{FILLING[i % 6]} {names[i % 4]} {FILLING[i % 5]}", encoding="utf-8")
    asked = ("data=texts", *(word for word in CLASSIFY[4:]), "steps=40", "out=run")
    trained(luoxia_command, "train", "classify-text", *asked)
    assert luoxia.load("run").classify(["a blue one"])[0][0] == "colors"
    assert sorted(final_scores("run")) == [
        "F1 animals",
        "F1 colors",
        "accuracy",
        "calibration error",
        "macro F1",
    ]


def test_an_embedder_learns_what_means_the_same(numbers, luoxia_command, refused):
    told = trained(luoxia_command, *EMBED, "tokenizer=character", "steps=150", "score_every=50", "out=run")
    assert "500 pairs" in told
    scores = final_scores("run")
    assert scores["retrieval@1"] > 0.3 and scores["MRR"] > 0.5, scores  # by chance 0.02 and 0.09
    model = luoxia.load("run")
    near, far = model.similarity("0317", ["zero three one seven", "eight two nine four"])[0]
    assert near > far + 0.3
    printed = luoxia_command("embed", "run", "0317", "against=zero three one seven").stdout
    assert float(printed) == pytest.approx(near, abs=1e-4)
    found = luoxia_command("embed", "run", "0317", "against=zero three one seven", "--json").stdout
    assert json.loads(found)["items"][0]["cosine"] == pytest.approx(near, abs=1e-6)

    Path("lines.txt").write_text("0317\nfive five one two\n", encoding="utf-8")
    luoxia_command("embed", "run", "lines.txt", "out=vectors.npy")
    vectors = np.load("vectors.npy")
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, model.embed(["0317", "five five one two"]), atol=1e-6)
    luoxia_command("embed", "run", "lines.txt", "out=vectors.npz")
    with np.load("vectors.npz") as arrays:
        assert arrays["texts"].tolist() == ["0317", "five five one two"]
        np.testing.assert_array_equal(arrays["embeddings"], vectors)
    assert "embed needs out=FILE.npy" in refused(2, "embed", "run", "0317")
    assert "2 texts and against= 1" in refused(2, "embed", "run", "lines.txt", "against=0317")
    report = Path("run/report.html").read_text(encoding="utf-8")
    assert "chance" in report and "pairs seen" in report and "AI-generated" not in report


@pytest.mark.parametrize(("recipe", "fixture"), [(CLASSIFY, "words"), (EMBED, "numbers")])
def test_a_resumed_run_equals_an_uninterrupted_one(recipe, fixture, luoxia_command, request):
    request.getfixturevalue(fixture)
    for out, steps in (("whole", 9), ("parts", 4)):
        words_ = (f"steps={steps}", "dropout=0.2", "schedule=constant", f"out={out}")
        trained(luoxia_command, *(word for word in recipe if word != "dropout=0"), *words_)
    trained(luoxia_command, "resume", "parts", "steps=9")
    for ema in (True, False):
        whole, parts = (luoxia.load(out, ema=ema).network.state_dict() for out in ("whole", "parts"))
        assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert final_scores("whole") == final_scores("parts")


def test_measuring_again_gives_the_same_scores(words, numbers, luoxia_command, refused):
    trained(luoxia_command, *CLASSIFY, "steps=12", "out=classes")
    trained(luoxia_command, *EMBED, "steps=4", "out=points")
    for run in ("classes", "points"):
        after_training = final_scores(run)
        measured = luoxia_command("measure", run, "--json")
        assert measured.exit_code == 0, measured.stderr
        told = json.loads(measured.stdout)
        values = {score["name"]: score["value"] for score in told["scores"]}
        assert values == pytest.approx(after_training, rel=1e-5)
        assert final_scores(run) == values
        assert told.get("classes") == (["animal", "color"] if run == "classes" else None)

    Path("a.txt").write_text("0001\n0002\n0003\n", encoding="utf-8")
    Path("b.txt").write_text("zero zero zero one\nzero zero zero two\nthree\n", encoding="utf-8")
    other = json.loads(luoxia_command("measure", "points", "data=a.txt", "against=b.txt", "--json").stdout)
    assert other["scores"][0]["signature"]["pairs"] == 3
    Path("cats.jsonl").write_text('{"text": "cat", "kind": "animal"}\n' * 3, encoding="utf-8")
    other = json.loads(luoxia_command("measure", "classes", "data=cats.jsonl", "n=2", "--json").stdout)
    assert np.array(other["confusion"]).sum(1).tolist() == [2, 0]
    Path("tree.jsonl").write_text('{"text": "oak", "kind": "tree"}\n' * 3, encoding="utf-8")
    assert "has the class 'tree', which this model does not know" in refused(
        2, "measure", "classes", "data=tree.jsonl"
    )
    assert "unknown key 'against'" in refused(2, "measure", "classes", "data=cats.jsonl", "against=a.txt")
    assert "unknown key 'extractor'" in refused(2, "measure", "points", "extractor=self")
    with Path("words.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"text": "cat", "kind": "animal"}\n')
    assert "has changed since training began" in refused(2, "measure", "classes")


def test_each_model_has_its_verb(words, numbers, luoxia_command, refused):
    trained(luoxia_command, *CLASSIFY, "steps=1", "holdout=0", "out=classes")
    trained(luoxia_command, *EMBED, "steps=1", "holdout=0", "out=points")
    for verb in (
        ("sample", "classes"),
        ("translate", "classes", "cat"),
        ("embed", "classes", "cat", "out=x.npy"),
    ):
        assert "is a text classifier and cannot" in refused(2, *verb)
    for verb in (("sample", "points"), ("translate", "points", "cat"), ("classify", "points", "cat")):
        assert "is a text embedder and cannot" in refused(2, *verb)
    assert "0 of the examples" in refused(1, "measure", "points")


def test_bad_data_is_one_sentence(words, numbers, refused, luoxia_command):
    def train(*words_: str) -> str:
        said = refused(2, "train", *words_, *SMALL, "steps=1", "out=new")
        assert not Path("new").exists()
        return said

    Path("one.jsonl").write_text('{"text": "cat", "kind": "animal"}\n' * 3, encoding="utf-8")
    assert "words.jsonl has no labels" in train("classify-text", "data=words.jsonl")
    assert "has no field 'kinds'; did you mean kind?" in train(
        "classify-text", "data=words.jsonl", "label=kinds"
    )
    assert "has no field 'body'" in train("classify-text", "data=words.jsonl", "label=kind", "text=body")
    assert "of the class 'animal': give two" in train("classify-text", "data=one.jsonl", "label=kind")
    assert "classify-text needs data=" in train("classify-text")
    assert "embed-text needs data=" in train("embed-text")
    assert "batch=451 is more than the 450 pairs" in train("embed-text", "data=numbers.tsv", "batch=451")

    trained(luoxia_command, *CLASSIFY, "steps=1", "out=run")
    assert "text 1 is empty" in refused(2, "classify", "run", " ")
    assert "nothing at wrods.jsonl" in refused(2, "classify", "run", "wrods.jsonl")
    assert "./ is a folder" in refused(2, "classify", "run", "./")
    long = luoxia_command("classify", "run", 300 * "x")  # longer than any file's name
    assert long.exit_code == 0, long.stderr
    Path("gap.txt").write_text("a cat\n\n", encoding="utf-8")
    assert "line 2 of gap.txt is empty" in refused(2, "classify", "run", "gap.txt")
    assert "has no field 'body'" in refused(2, "classify", "run", "words.jsonl", "text=body")
    Path("hole.jsonl").write_text('{"text": "cat"}\n{"text": ""}\n', encoding="utf-8")
    assert "hole.jsonl:2: the field 'text' is empty" in refused(2, "classify", "run", "hole.jsonl")
    assert "must be FILE.jsonl or FILE.csv" in refused(2, "classify", "run", "cat", "out=said.txt")
