"""A language model of texts under conditions: trained, resumed, asked by fields, measured, loaded."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import luoxia
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.decoding.loop import Decoding

SMALL = {
    "tokenizer": "character",
    "layers": 2,
    "heads": 2,
    "width": 32,
    "context": 32,
    "batch": 8,
    "score_samples": 0,
    "sample_every": 0,
    "device": "cpu",
}
RULE = {"data": "rules.jsonl", "condition": "letter,count", "target": "body", **SMALL}
GREEDY = Decoding(temperature=0)


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rule_rows() -> list[dict[str, str]]:
    """A letter and a number decide all of a text: c, 4 → "cccc."; fields stand in another order than they are asked."""
    rng = np.random.default_rng(0)
    pairs = zip(rng.integers(0, 4, 800), rng.integers(1, 6, 800), strict=True)
    return [{"body": "abcd"[i] * n + ".", "count": str(n), "letter": "abcd"[i]} for i, n in pairs]


def train(luoxia_command: Any, **settings: object) -> Any:
    result = luoxia_command("train", "gpt", *(f"{key}={value}" for key, value in settings.items()))
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def rules(here: Path) -> None:
    write_rows(Path("rules.jsonl"), rule_rows())


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned the rule; to be read only."""
    folder = tmp_path_factory.mktemp("learned")
    write_rows(folder / "rules.jsonl", rule_rows())
    files = {"data": str(folder / "rules.jsonl"), "out": str(folder / "run")}
    return luoxia.train("gpt", quiet=True, steps=250, condition_dropout=0.2, **{**RULE, **files}).path


def scores_of(run: Path) -> dict[str, float]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [record for record in records if record["kind"] == "score" and record["final"]]
    return {score["name"]: score["value"] for score in scores[-1]["scores"]}


def test_the_condition_decides_the_text(learned):
    """The fields leave nothing open, so no nats are left either: 20 texts alike would cost ln 20 each."""
    assert scores_of(learned)["nats per token"] < 0.05
    model = luoxia.load(learned)
    assert model.condition == ("letter", "count")
    asked = [{"count": str(n), "letter": x} for x in "abcd" for n in range(1, 6)]
    texts = model.sample(20, condition=asked, decoding=GREEDY)
    assert texts == [c["letter"] * int(c["count"]) + "." for c in asked]
    assert model.completions(condition=asked[0], decoding=GREEDY)[0].reason == "eos"


def test_fields_may_be_left_out(learned):
    """One field alone still decides what it can, and without any a text of the data comes."""
    model = luoxia.load(learned)
    threes = model.sample(40, seed=1, condition={"count": "3"})
    assert np.mean([len(text) == 4 for text in threes]) > 0.8
    assert len({text[0] for text in threes}) > 1
    free = model.sample(40, seed=1)
    assert len(set(free)) > 5
    assert np.mean([set(text[:-1]) < set("abcd") and text[-1:] == "." for text in free]) > 0.8


def test_the_terminal_asks_by_fields(learned, luoxia_command):
    said = luoxia_command("sample", learned, "letter=c", "count=4", "temperature=0")
    assert (said.exit_code, said.stdout) == (0, "cccc.\n")
    said = luoxia_command(
        "sample", learned, "condition.letter=b", "count=2", "n=2", "temperature=0", "out=b.jsonl"
    )
    assert said.exit_code == 0, said.stderr
    rows = [json.loads(line) for line in Path("b.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == ["bb."] * 2
    assert rows[0]["condition"] == {"letter": "b", "count": "2"}
    began = luoxia_command("sample", learned, "letter=d", "count=5", "prompt=ddd", "temperature=0").stdout
    assert began == "ddddd.\n"
    streamed = "".join(luoxia.load(learned).stream(condition={"letter": "a"}, seed=3))
    assert streamed == luoxia.load(learned).sample(1, seed=3, condition={"letter": "a"})[0]


def test_a_field_that_is_a_key_of_sample_too(rules, luoxia_command):
    rows = [{"seed": "xy"[i % 2], "text": "ab"[i % 2] * 3} for i in range(40)]
    write_rows(Path("clash.jsonl"), rows)
    train(luoxia_command, data="clash.jsonl", condition="seed", steps=40, out="clash", **SMALL)
    for value, text in (("x", "aaa\n"), ("y", "bbb\n")):
        said = luoxia_command("sample", "clash", f"condition.seed={value}", "seed=5", "temperature=0")
        assert said.stdout == text, said.stderr


def test_unknown_fields_and_values(learned, refused):
    assert refused(2, "sample", learned, "lettre=c") == "unknown key 'lettre'; did you mean letter?"
    assert "the fields of this model are letter, count" in refused(2, "sample", learned, "quux=c")
    assert "unknown field 'quux'" in refused(2, "sample", learned, "condition.quux=c")
    assert "write condition.FIELD=VALUE" in refused(2, "sample", learned, "condition=c")
    assert "letter=ж holds 'ж', which is not in the model's vocabulary" in refused(
        2, "sample", learned, "letter=ж"
    )
    with pytest.raises(UsageError, match="2 conditions for n=3 texts"):
        luoxia.load(learned).sample(3, condition=[{}, {}])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"condition": "lettre"}, "rules.jsonl has no field 'lettre'; did you mean letter?"),
        ({"condition": "quux"}, "rules.jsonl has no field 'quux'; its fields are body, count, letter"),
        (
            {"condition": "letter", "target": "quux"},
            "has no field 'quux'; its fields are body, count, letter",
        ),
        ({"condition": "letter", "target": "none"}, "name the field that holds the text, as target="),
        ({"condition": "body,count"}, "condition=body,count holds the text itself"),
        ({"condition": "count,count"}, "name each field once"),
        ({"condition": "letter", "data": "none"}, "need data="),
        ({"condition": "letter", "data": "plain.txt"}, "plain.txt is plain text without fields"),
        ({"condition": "letter", "context": "6"}, "no condition is shorter than context=6 tokens"),
    ],
)
def test_bad_conditions_are_one_sentence(rules, refused, words, sentence):
    Path("plain.txt").write_text("nothing but text", encoding="utf-8")
    given = {**SMALL, "data": "rules.jsonl", "target": "body", "out": "new", **words}
    assert sentence in refused(2, "train", "gpt", *(f"{key}={value}" for key, value in given.items()))
    assert not Path("new").exists()


def test_a_resumed_run_equals_an_uninterrupted_one(rules, luoxia_command):
    for out, steps in (("whole", 80), ("parts", 47)):
        train(luoxia_command, **RULE, steps=steps, schedule="constant", out=out)
    assert luoxia_command("resume", "parts", "steps=80").exit_code == 0
    whole, parts = (luoxia.load(out).network.state_dict() for out in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_measuring_and_samples_under_conditions(rules, luoxia_command):
    settings = {**RULE, "score_samples": 12, "precision": "fp32"}
    trained = train(luoxia_command, **settings, steps=40, out="run")
    assert "800 documents given letter, count" in trained.stderr
    first = scores_of(Path("run"))
    assert {"bits per byte", "perplexity", "self-BLEU", "distinct-1", "copied"} <= first.keys()
    measured = luoxia_command("measure", "run", "--json")
    assert measured.exit_code == 0, measured.stderr
    again = {score["name"]: score["value"] for score in json.loads(measured.stdout)["scores"]}
    assert again == pytest.approx(first, rel=1e-5)
    assert "given letter, count" in json.loads(measured.stdout)["scores"][0]["signature"]["text"]
    write_rows(Path("other.jsonl"), [{"letter": "a", "count": "1", "body": "dcbadcba"}] * 3)
    other = json.loads(luoxia_command("measure", "run", "data=other.jsonl", "--json").stdout)
    assert other["scores"][0]["value"] > again["nats per token"]
    shown = (Path("run") / "samples" / "step_000040.txt").read_text(encoding="utf-8")
    assert shown.startswith("letter=")
    card = (Path("run") / "model" / "README.md").read_text(encoding="utf-8")
    assert 'condition={"letter": "…", "count": "…"}' in card
    described = json.loads((Path("run") / "run.json").read_text(encoding="utf-8"))["data"]
    assert (described["train"], described["heldout"], described["dropped"]) == (760, 40, 0)


def test_long_texts_are_learned_up_to_the_context(here, luoxia_command):
    write_rows(Path("long.jsonl"), [{"title": "t" * (1 + i % 60), "text": "x" * 500} for i in range(60)])
    train(luoxia_command, data="long.jsonl", condition="title", steps=4, out="run", **SMALL)
    data = json.loads((Path("run") / "run.json").read_text(encoding="utf-8"))["data"]
    assert data["dropped"] > 20  # titles longer than the context
    assert scores_of(Path("run"))["nats per token"] > 0


def test_constraints_go_with_conditions(learned, refused, luoxia_command):
    model = luoxia.load(learned)
    Path("c.lark").write_text('start: "c"* "."', encoding="utf-8")
    rule = model.rule(grammar="c.lark")
    texts = model.sample(4, condition={"letter": "d", "count": "2"}, constraint=rule)
    assert all(text.strip("c") == "." for text in texts)
    assert "".join(model.stream(condition={"letter": "d"}, constraint=rule)).strip("c") == "."
    said = luoxia_command("sample", learned, "letter=a", "grammar=c.lark", "temperature=0").stdout
    assert said.strip("c\n") == "."
    with pytest.raises(LuoxiaError, match="text 0 came to its last token before it met the constraint"):
        Path("long.lark").write_text('start: "cccccccccc."', encoding="utf-8")
        model.sample(1, constraint=model.rule(grammar="long.lark"), decoding=Decoding(max_tokens=4))
    Path("any.json").write_text("{}", encoding="utf-8")
    both = refused(2, "sample", learned, "grammar=c.lark", "schema=any.json")
    assert both == "schema= and grammar= exclude each other: give one of them"


def test_fields_of_any_name(here, luoxia_command, refused):
    names = ["poem form", "meta.kind", "seed", "作者", "a,b", 'c+"d"', "cafe\u0301"]
    rows = [{"body": "abcd"[i % 4] * 6, **dict.fromkeys(names, "xy"[i % 2])} for i in range(200)]
    write_rows(Path("rows.jsonl"), rows)
    condition = 'poem form,meta.kind,seed,作者,"a,b","c+""d""",café'
    settings = {**RULE, "context": 96, "data": "rows.jsonl", "condition": condition, "steps": 2, "out": "run"}
    train(luoxia_command, **settings)
    model = luoxia.load("run")
    assert model.condition == (*names[:-1], "café")
    asked = [f"{name}=x" for name in names if name != "seed"]
    greedy = ("temperature=0", "max_tokens=4")
    wanted = model.sample(
        condition=dict.fromkeys(model.condition, "x"), decoding=Decoding(temperature=0, max_tokens=4)
    )
    for words in ([*asked, "condition.seed=x"], [f"condition.{name}=x" for name in names]):
        told = luoxia_command("sample", "run", "seed=3", *greedy, *words)
        assert told.exit_code == 0, told.stderr
        assert told.stdout.removesuffix("\n") == wanted[0]
    assert "did you mean poem form" in refused(2, "sample", "run", "poem frm=x")
    assert "did you mean meta.kind" in refused(2, "sample", "run", "meta.knd=x")
    command = json.loads(Path("run/run.json").read_text())["command"]
    assert shlex.split(command)[3:].count(f"condition={condition}") == 1, command
