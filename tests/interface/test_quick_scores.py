"""Scores during training are of the whole held-out part, and say which rows of it they are of."""

import json
from pathlib import Path

import numpy as np
import pytest

import luoxia
from luoxia.core.order import spread
from luoxia.metrics.score import Score
from luoxia.tasks.language_modeling import stage as text_session

SMALL = {
    "layers": 1, "heads": 2, "width": 32, "context": 16, "score_samples": 0, "sample_every": 0, "device": "cpu",
    "quiet": True, "precision": "fp32", "steps": 40, "score_every": 39, "holdout": 0.5,
}  # fmt: skip


def scores(run: luoxia.Run, final: bool) -> dict[str, Score]:
    records = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    found = [record for record in records if record["kind"] == "score" and record["final"] == final]
    return {values["name"]: Score.from_dict(values) for values in found[-1]["scores"]}


@pytest.mark.parametrize("conditioned", [False, True])
def test_a_quick_score_of_text_is_that_of_all_of_it(here: Path, conditioned: bool) -> None:
    """The end of the text is noise, and what comes before it a rule that is soon learned."""
    rng = np.random.default_rng(0)
    noise = ["".join(rng.choice(list("abcdefgh"), 15)) for _ in range(500)]
    rows = ["abcdefghabcdefg"] * 1500 + noise
    settings = {"data": "words.txt"}
    if conditioned:
        lines = [json.dumps({"text": row, "kind": "x"}) for row in rows]
        (here / "words.jsonl").write_text("\n".join(lines), encoding="utf-8")
        settings = {"data": "words.jsonl", "condition": "kind", "context": 24}
    else:
        (here / "words.txt").write_text(" ".join(rows), encoding="utf-8")
    run = luoxia.train("gpt", tokenizer="byte", out="run", **{**SMALL, **settings})
    quick, final = scores(run, False), scores(run, True)
    for name in ("bits per byte", "nats per token"):
        one, all_rows = quick[name], final[name]
        assert one.low is not None and one.high is not None and all_rows.low is not None
        assert one.low < all_rows.value < one.high, "they agree"
        assert one.signature["rows"].startswith("64 of ") and one.signature["rows"].endswith(
            ", spread evenly"
        )
        assert "rows" not in all_rows.signature
        with pytest.raises(luoxia.LuoxiaError, match="differ in"):
            one.compare(all_rows)


def test_rows_are_spread_over_all() -> None:
    rows = np.arange(1000)
    assert [row // 250 for row in spread(rows, 4)] == [0, 1, 2, 3]
    assert spread(rows, None).tolist() == spread(rows, 2000).tolist() == rows.tolist()
    assert spread(rows[:0], 4).tolist() == []


@pytest.mark.parametrize("period", [2, 3, 10])
def test_rows_are_of_every_class_where_classes_take_turns(period: int) -> None:
    shares = np.bincount(spread(np.arange(6000), 600) % period, minlength=period) / 600
    assert shares.min() > 0.5 / period


def test_quick_scores_of_sentences_are_spread_and_signed(here: Path) -> None:
    lines = [f"{word}{number} a\tword{number}" for number in range(400) for word in ("x",)]
    (here / "pairs.tsv").write_text("\n".join(lines), encoding="utf-8")
    run = luoxia.train(
        "translate", data="pairs.tsv", out="run", tokenizer="byte", max_length=32, batch=128, layers=1, heads=2,
        width=16, steps=3, score_every=2, score_samples=100, holdout=0.5, sample_every=0, quiet=True, device="cpu",
    )  # fmt: skip
    quick = scores(run, False)["BLEU"]
    assert quick.signature["rows"] == "64 of 200, spread evenly"
    assert quick.signature["beams"] == 1, "greedy, and so no final score"


def test_the_share_of_classes_is_of_all_samples(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of the first, which for a translator are those of the first held-out images."""
    from luoxia.tasks.shared.image_stage import ImageStage

    class Extractor:
        @staticmethod
        def probabilities(features: np.ndarray) -> np.ndarray:
            return np.eye(2)[features]

    class Session(ImageStage):
        real = (type("D", (), {"classes": ("a", "b")}), None, None)
        reference = type("R", (), {"extractor": Extractor})

        def __init__(self) -> None:
            pass

    shares = Session()._class_shares(np.repeat([0, 1], [600, 600]))
    assert shares == {"a": 0.5, "b": 0.5}


def test_rows_that_are_all_taken_need_no_word() -> None:
    score = Score("bits per byte", 1.0, 0.5, 1.5, None, "authenticity", {})
    whole = text_session.QuickScore([score.as_dict()], 1.0, 0.0, {}).of(text_session.QUICK, 20)
    assert "rows" not in whole.records[0]["signature"]
