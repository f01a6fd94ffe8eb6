"""A language model as a user meets it: trained, resumed, sampled, measured, loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import luoxia
from luoxia.media.text.spec import TextSpec

SMALL = (
    "layers=2",
    "heads=2",
    "width=32",
    "context=16",
    "batch=8",
    "score_samples=0",
    "sample_every=0",
    "device=cpu",
)
TRAIN = ("train", "gpt", "data=words.txt", "tokenizer=character", *SMALL)


@pytest.fixture
def words(here: Path) -> Path:
    """A text with a rule in it: after each letter comes the next one."""
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 26, 2000)
    text = " ".join("".join(chr(97 + (s + i) % 26) for i in range(6)) for s in starts)
    (here / "words.txt").write_text(text, encoding="utf-8")
    return here / "words.txt"


def final_scores(run: Path) -> dict[str, float]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [record for record in records if record["kind"] == "score" and record["final"]]
    return {score["name"]: score["value"] for score in scores[-1]["scores"]}


def test_it_learns_a_rule_and_writes_by_it(words, luoxia_command):
    trained = luoxia_command(*TRAIN, "steps=150", "out=run")
    assert trained.exit_code == 0, trained.stderr
    assert "1 document" in trained.stderr
    # 5 of 7 characters are certain; a word's first letter costs ln 26 nats, the space is nearly certain.
    assert final_scores(Path("run"))["nats per token"] < 1.0
    said = luoxia_command("sample", "run", "prompt= abc", "max_tokens=3", "temperature=0").stdout
    assert said == " abcdef\n"
    assert (Path("run") / "samples" / "step_000150.txt").read_text(encoding="utf-8").strip()
    assert "AI-generated text" in (Path("run") / "report.html").read_text(encoding="utf-8")


def test_resuming_elsewhere_says_what_differs(words, luoxia_command):
    assert luoxia_command(*TRAIN, "steps=2", "out=run").exit_code == 0
    alike = luoxia_command("resume", "run", "steps=3")
    assert alike.exit_code == 0 and "bit-identical" not in alike.stderr
    record = Path("run/run.json")
    manifest = json.loads(record.read_text(encoding="utf-8"))
    threads = manifest["hardware"]["threads"]
    manifest["hardware"]["threads"] = threads + 3
    manifest["versions"]["torch"] = "2.0"
    record.write_text(json.dumps(manifest), encoding="utf-8")
    unlike = luoxia_command("resume", "run", "steps=4").stderr
    assert (
        f"resuming, but results will not be bit-identical: torch {torch.__version__}, was 2.0; {threads} thread"
        in unlike
    )
    assert f", was {threads + 3}" in unlike
    assert "not bit for bit: torch" in Path("run/metrics.jsonl").read_text(encoding="utf-8")


def test_a_resumed_run_equals_an_uninterrupted_one(words, luoxia_command):
    for out, steps in (("whole", 12), ("parts", 7)):
        assert luoxia_command(*TRAIN, f"steps={steps}", "schedule=constant", f"out={out}").exit_code == 0
    assert luoxia_command("resume", "parts", "steps=12").exit_code == 0
    whole, parts = (luoxia.load(out).network.state_dict() for out in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_python_and_the_terminal_write_the_same(words, luoxia_command):
    run = luoxia.train("gpt", data="words.txt", tokenizer="bpe", vocabulary=280, layers=1, heads=2, width=16,
                       context=16, batch=4, steps=5, score_samples=0, device="cpu", quiet=True)  # fmt: skip
    model = luoxia.load(run.path)
    texts = model.sample(2, seed=3, prompt="abc")
    assert len(set(texts)) == 2
    assert "".join(model.stream("abc", seed=3)) == texts[0]
    luoxia_command("sample", run.path, "n=2", "seed=3", "prompt=abc", "temperature=1", "out=texts.jsonl")
    rows = [json.loads(line) for line in Path("texts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == texts
    assert rows[0]["luoxia"]["run"] == run.name and rows[1]["luoxia"]["index"] == 1
    asked = ("sample", run.path, "seed=3", "prompt=abc", "temperature=1")
    several = ["abc" + text for text in texts]
    two = json.loads(luoxia_command(*asked, "n=2", "--json").stdout)
    assert two["texts"] == several and "text" not in two
    assert luoxia_command(*asked, "n=2").stdout == "\n\n".join(several) + "\n"
    one = json.loads(luoxia_command(*asked, "--json").stdout)
    assert (one["text"], one["texts"]) == (several[0], several[:1])
    assert {key: rows[0]["luoxia"][key] for key in ("run", "seed", "model")} == {
        key: one["label"][key] for key in ("run", "seed", "model")
    }
    assert one["label"]["controls"]["prompt"] == "abc"
    ids = [model.tokenizer.encode("abcabc")]
    logits = model.logits(ids)
    assert logits.shape == (1, len(ids[0]), model.tokenizer.vocabulary)
    assert torch.equal(logits, model.logits(torch.tensor(ids)))


def test_measuring_again_gives_the_same_scores(words, luoxia_command, refused):
    luoxia_command(*TRAIN, "steps=5", "precision=fp32", "out=run")
    measured = luoxia_command("measure", "run", "--json")
    assert measured.exit_code == 0, measured.stderr
    values = {score["name"]: score["value"] for score in json.loads(measured.stdout)["scores"]}
    assert values == pytest.approx(final_scores(Path("run")), rel=1e-5)
    (Path("other.txt")).write_text("zyxwvu " * 200, encoding="utf-8")
    other = json.loads(luoxia_command("measure", "run", "data=other.txt", "--json").stdout)
    assert other["scores"][0]["value"] > values["nats per token"]
    assert "beside data= none are" in refused(2, "measure", "run", "data=other.txt", "n=5")


@pytest.mark.parametrize(
    ("words_", "sentence"),
    [
        (("data=nowhere.txt",), "there is nothing at nowhere.txt"),
        (("data=words.txt", "context=100000"), "the text has"),
        (("data=words.txt", "width=31"), "width=31 is not a multiple of heads=2"),
        (("data=words.txt", "size=huge"), "size=huge: must be"),
        (("data=words.txt", "tokenizer=wordpiece"), "tokenizer=wordpiece: must be"),
    ],
)
def test_bad_settings_are_one_sentence(words, refused, words_, sentence):
    assert sentence in refused(2, "train", "gpt", *SMALL, "out=new", *words_)
    assert not Path("new").exists()


@pytest.mark.parametrize("style", ["modern", "gpt2"])
def test_packed_documents_are_predicted_as_if_alone(here, style):
    """The rows that training packs: every document's logits are those it has by itself, wherever it stands."""
    from luoxia.media.text.corpus import open_corpus
    from luoxia.tasks.language_modeling.recipes import GPT
    from luoxia.tasks.language_modeling.scores import to_batch

    rng = np.random.default_rng()
    texts = ["".join(chr(97 + i) for i in rng.integers(0, 26, rng.integers(1, 12))) for _ in range(40)]
    Path("texts.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    corpus = open_corpus("texts.jsonl", "character", None)
    recipe = GPT.from_settings({"layers": 2, "heads": 2, "width": 16, "context": 24, "style": style})
    network = recipe.build_generator(corpus.spec).eval()
    for parameter in network.parameters():  # projections of zeros would hide what attention sees
        torch.nn.init.normal_(parameter, std=0.3)
    rows = to_batch(corpus.batches(corpus.whole(), 8, 24, 0)(0), torch.device("cpu"))
    assert rows.segments is not None
    with torch.no_grad():
        packed = network(rows.inputs, segments=rows.segments)
        for ids, segments, logits in zip(rows.inputs, rows.segments, packed, strict=True):
            assert segments[-1] > 0
            for number in range(int(segments[-1]) + 1):
                own = segments == number
                torch.testing.assert_close(logits[own], network(ids[own][None])[0], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(packed, network(rows.inputs))


def test_a_dry_run_of_text(words, luoxia_command):
    shown = luoxia_command(*TRAIN, "steps=10", "out=new", "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert "parameters: decoder " in shown.stdout
    assert not Path("new").exists()


def test_keys_of_images_are_refused(words, luoxia_command, refused):
    luoxia_command(*TRAIN, "steps=2", "out=run")
    assert "unknown key 'truncation'" in refused(2, "sample", "run", "truncation=0.5")
    assert "unknown key 'extractor'" in refused(2, "measure", "run", "extractor=self")


def test_the_classic_style_is_trained_as_the_classics_are():
    from luoxia.tasks.language_modeling.recipes import GPT

    classic = GPT.from_settings(
        {"style": "gpt2", "optimizer": {"grad_clip": 2.0}, "size": "base", "context": 1024}
    )
    assert (classic.optimizer.name, classic.optimizer.grad_clip, classic.optimizer.weight_decay) == (
        "adamw",
        2.0,
        0.1,
    )
    assert (classic.lr, classic.schedule.name, classic.schedule.warmup) == (1e-3, "cosine", 100)
    assert GPT.from_settings({"style": "gpt2", "lr": 1e-4}).lr == 1e-4
    assert GPT.from_settings(classic.model_dump()) == classic
    with torch.device("meta"):
        network = classic.build_generator(TextSpec(50257))
    assert sum(p.numel() for p in network.parameters()) == 124_439_808
