"""What a task adds to the report, several stages on one page, notebooks, and all of it from a hostile hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from luoxia import registry
from luoxia.core.html import Html, escape
from luoxia.media.image.medium import MEDIUM as IMAGES
from luoxia.media.text.medium import MEDIUM as TEXTS
from luoxia.runs.report import brief, write_report
from luoxia.runs.report_source import RunRecord, current_branch, read_run
from luoxia.runs.reported import Section, Unknown
from luoxia.runs.run import Run

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Toy(Unknown):
    """A task whose samples are lists of points."""

    unit = "points"
    items = "points"
    sample_note = "Points of the same seed."
    key_scores = ("distance",)
    sections = (
        Section("spread", "Spread", lambda record: f"<p>{len(record.samples)} files</p>", after="doctor"),
        Section("data", "The points", lambda record: "<p>my own card</p>"),
        Section("nothing", "Nothing", lambda record: ""),
    )

    def html(self, file: Path) -> Html:
        return Html(f"<ol><li>{escape(file.read_text())}</li></ol>")


def run_folder(folder: Path, lines: list[dict[str, Any]], samples: dict[str, str], **facts: Any) -> Path:
    (folder / "samples").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"recipe": "toy", **facts}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, text in samples.items():
        (folder / "samples" / name).write_text(text)
    return folder


def log(stage: str, step: int, phase: str = "generator") -> dict[str, Any]:
    return {
        "kind": "log",
        "stage": stage,
        "step": step,
        "seconds": step,
        "seen": 10 * step,
        "rate": 1.0,
        "losses": {phase: {"loss": 1.0 / step}},
        "gradients": {phase: 1.0},
    }


def score(name: str, step: int, stage: str = "refiner", **changes: Any) -> dict[str, Any]:
    values = {"value": 1.0, "low": 0.5, "high": 2.0, "reference": 0.25, "heading": "authenticity"}
    record = {"name": name, **values, "signature": {}, "meaning": "How far.", "better": "lower", **changes}
    return {"kind": "score", "stage": stage, "step": step, "seconds": step, "scores": [record]}


STAGES = [
    *(log("gan", step) for step in (10, 20, 30)),
    log("gan", 20),
    *(log("refiner", step) for step in (10, 20)),
    score("distance", 20),
    {"kind": "event", "stage": "refiner", "step": 20, "seconds": 50, "event": "finished", "detail": ""},
]


def test_a_task_adds_sections_and_replaces_the_frames(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", STAGES, {"step_000020.txt": EVIL}, data={"count": 100})
    page = write_report(folder, Toy()).read_text()
    order = [
        page.index(f'<section id="{name}"') for name in ("samples", "scores", "doctor", "spread", "data")
    ]
    assert order == sorted(order) and 'id="nothing"' not in page
    assert "1 files" in page and "my own card" in page and "Points of the same seed." in page
    assert "200 points seen (2 passes over 100)" in page.replace("<b>", "").replace("</b>", "")
    assert EVIL not in page and "&lt;img src=x" in page


def test_stages_share_one_time_axis_and_keep_their_steps(tmp_path: Path) -> None:
    samples = {"gan_step_000030.txt": "rough", "step_000020.txt": "fine", "step_000020.txt.label.json": "{}"}
    folder = run_folder(tmp_path / "run", STAGES, samples)
    record = read_run(folder, Toy())
    assert record.stages == ["gan", "refiner"] and record.seams == [(30.0, "refiner")]
    assert [(line["stage"], line["step"], line["at"]) for line in record.logs] == [
        ("gan", 10, 10), ("gan", 20, 20), ("refiner", 10, 40), ("refiner", 20, 50),
    ]  # fmt: skip
    assert record.abandoned == 2 and record.end == 50
    assert [(sample.stage, sample.step) for sample in record.samples] == [("gan", 30), ("refiner", 20)]
    page = write_report(folder, Toy()).read_text()
    assert "Generator · gan" in page and "Generator · refiner" in page
    assert 'data-at="30" data-label="stage refiner begins"' in page
    assert page.index("Step 20 of refiner") < page.index("Step 30 of gan")


def test_a_run_of_one_stage_says_nothing_of_stages(tmp_path: Path) -> None:
    """An old run's lines name none, and those after a resume do."""
    old = {key: value for key, value in log("", 10).items() if key != "stage"}
    folder = run_folder(tmp_path / "run", [old, log("training", 20), log("training", 10)], {})
    record = read_run(folder, Toy())
    assert record.stages == ["training"] and [line["step"] for line in record.logs] == [10]
    assert "training begins" not in write_report(folder, Toy()).read_text()


def test_a_resume_in_one_stage_leaves_the_other_alone() -> None:
    lines = [
        {"stage": stage, "step": float(step)} for stage, step in (("a", 10), ("a", 20), ("b", 5), ("b", 5))
    ]
    assert [(line["stage"], line["step"]) for line in current_branch(lines)] == [
        ("a", 10),
        ("a", 20),
        ("b", 5),
    ]


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ({"task": "language modeling"}, "language modeling"),
        ({"data": {"vocabulary": 300}}, "language modeling"),
        ({"data": {"vocabulary": 300, "task": "translation"}}, "text translation"),
        ({"data": {"vocabulary": 300, "task": "similarity"}}, "text embedding"),
        ({"data": {"height": 28, "task": "image translation"}}, "image translation"),
        ({"data": {"height": 28}}, "image generation"),
        ({"task": "points", "data": {"vocabulary": 9}}, None),
        ({"task": ["x"], "data": []}, None),
        ({}, None),
    ],
)
def test_the_task_of_a_run_is_known_by_its_manifest(manifest: dict[str, Any], name: str | None) -> None:
    found = registry.task_of_run(manifest)
    assert (found and found.name) == name


def test_a_run_of_a_task_that_is_not_known_is_shown_without_it(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", STAGES, {f"step_000020.{EVIL[2:8]}<b>": EVIL}, task="points")
    page = write_report(folder).read_text()
    assert "step_000020" in page and "<b>&" not in page and "alert(1)" not in page


def hostile(folder: Path) -> Path:
    lines = [
        log(f"gan{EVIL}", 10, f"generator{EVIL}"),
        log(f"refiner{EVIL}", 10),
        score(
            f"FD-{EVIL}",
            10,
            f"refiner{EVIL}",
            meaning=EVIL,
            better=EVIL,
            heading=EVIL,
            signature={EVIL: EVIL},
        ),
        {
            "kind": "finding",
            "stage": EVIL,
            "step": 5,
            "name": EVIL,
            "severity": EVIL,
            "evidence": EVIL,
            "key": EVIL,
        },
        {"kind": "event", "stage": EVIL, "step": 5, "seconds": 1, "event": EVIL, "detail": EVIL},
    ]
    samples = {"step_000010.txt": EVIL, "step_000010.svg": f"<svg onload=alert(3)>{EVIL}</svg>"}
    data = {"vocabulary": EVIL, "tokenizer": EVIL, "classes": [EVIL], "count": EVIL}
    return run_folder(folder, lines, samples, data=data, unit=EVIL, format=2, config={}, command=EVIL)


def test_nothing_of_a_hostile_run_becomes_markup(tmp_path: Path) -> None:
    folder = hostile(tmp_path / "run")
    for task in (None, Toy(), *registry.tasks()):
        page = write_report(folder, task).read_text()
        assert page.count("<script>") == 1 and "<img src=x" not in page and "<svg onload" not in page


def test_steps_beyond_all_bounds_are_no_steps(tmp_path: Path) -> None:
    page = write_report(
        run_folder(tmp_path / "run", [log("a", 10), log("a", 1.7e308), log("b", 1.7e308)], {})
    )
    assert "10 steps" in page.read_text() and "2 lines of metrics.jsonl could not be read" in page.read_text()


def test_a_notebook_shows_a_run_in_short(tmp_path: Path) -> None:
    for task in (None, Toy(), *registry.tasks()):
        shown = brief(hostile(tmp_path / f"run-{getattr(task, 'name', task)}"), task)
        assert "<script>" not in shown and "<img src=x" not in shown and "<svg onload" not in shown
    folder = run_folder(tmp_path / "run", STAGES, {"step_000020.txt": "a poem"}, task="language modeling")
    shown = Run(folder, {})._repr_html_()
    assert "Finished" in shown and "distance" in shown and '<pre class="text">a poem</pre>' in shown


def test_media_show_files_escaped_or_refuse_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(EVIL * 2000)
    shown = TEXTS.html(tmp_path / "a.txt")
    assert "<script>" not in shown and len(shown) < 30_000
    with pytest.raises(Exception, match="not a PNG"):
        IMAGES.html(tmp_path / "a.txt")


def test_a_section_may_be_named_by_its_place() -> None:
    section = Section("confusion", "Confusion", "luoxia.tasks.text_classification.report:confusion_matrix")
    record: RunRecord = read_run(Path("/nowhere"))
    assert section(record) == ""
