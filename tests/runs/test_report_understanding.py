"""The report of models that understand text: their confusion, their floors, their words."""

import json
from pathlib import Path

import pytest

from luoxia.runs.report import write_report

EVIL = "<img src=x onerror=alert(1)>"


def run_folder(folder: Path, confusion: str | None, task: str = "classification") -> Path:
    folder.mkdir(exist_ok=True)
    data = {"vocabulary": 300, "task": task, "unit": "tokens", "count": 40, "source": "mail"}
    (folder / "run.json").write_text(json.dumps({"recipe": "classify-text", "data": data}), "utf-8")
    score = {
        "name": "accuracy",
        "value": 0.75,
        "low": 0.6,
        "high": 0.9,
        "floor": 0.5,
        "heading": "plausibility",
    }
    lines = [
        {"kind": "log", "step": 10, "images": 4096, "statistics": {"train_nll": 0.1, "heldout_nll": 0.2}},
        {"kind": "score", "step": 10, "scores": [{**score, "signature": {"floor": "constant answer"}}]},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (folder / "samples").mkdir(exist_ok=True)
    (folder / "samples" / "step_000010.txt").write_text(f"{EVIL}\n→ spam 90%\n= ham\n", "utf-8")
    if confusion is not None:
        (folder / "scores").mkdir(exist_ok=True)
        (folder / "scores" / "confusion.csv").write_text(confusion, "utf-8")
    return folder


def page(folder: Path) -> str:
    return write_report(folder).read_text("utf-8")


def test_a_classifiers_page(tmp_path: Path) -> None:
    shown = page(run_folder(tmp_path / "run", f'true,"{EVIL}",ham\n"{EVIL}",3,1\nham,0,36\n'))
    assert EVIL not in shown and "&lt;img src=x" in shown
    assert 'class="right" style="--share:75%">3<' in shown
    assert 'class="wrong" style="--share:25%">1<' in shown
    assert "AI-generated" not in shown and "4,096 tokens seen" in shown
    assert "constant answer: 0.5" in shown and "Real against real" not in shown
    assert '<th scope="row">Texts</th><td>40</td>' in shown


def test_many_classes_are_listed_by_what_is_confused_most(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(30)]
    counts = [[9 if i == j else 0 for j in range(30)] for i in range(30)]
    counts[3][7], counts[5][1] = 2, 8

    def table() -> str:
        rows = [["true", *names], *([name, *map(str, row)] for name, row in zip(names, counts, strict=True))]
        return "".join(",".join(row) + "\n" for row in rows)

    shown = page(run_folder(tmp_path / "run", table()))
    assert shown.index("<td>c5</td><td>c1</td><td>8</td>") < shown.index("<td>c3</td><td>c7</td><td>2</td>")
    counts[3][7] = counts[5][1] = 0
    assert "None of the 30 classes was taken for another" in page(run_folder(tmp_path / "run", table()))


@pytest.mark.parametrize(
    "broken",
    [None, "", "true,a,b\n", "true,a,b\na,1,2\n", "true,a\na,many\n", "true,a\na,nan\n", '"\n', "\0"],
)
def test_a_broken_table_is_left_out(tmp_path: Path, broken: str | None) -> None:
    assert 'id="confusion"' not in page(run_folder(tmp_path / "run", broken))


def test_translations_are_generated_text(tmp_path: Path) -> None:
    shown = page(run_folder(tmp_path / "run", None, task="translation"))
    assert "AI-generated text" in shown and ">Pairs<" in shown
