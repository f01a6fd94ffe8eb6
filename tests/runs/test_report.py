"""The report explains any run folder, however broken, on one page that is safe and needs no network."""

import json
import math
import random
import re
import subprocess
import sys
from base64 import b64encode
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.old_scores import old_meaning
from luoxia.runs.charts import Chart, Series, draw, smooth, sparkline, thin
from luoxia.runs.report import write_report
from luoxia.runs.report_source import current_branch, read_run
from luoxia.runs.report_words import duration, spell

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def noise(side: int, mode: str = "RGB") -> Image.Image:
    return Image.frombytes(mode, (side, side), random.Random(side).randbytes(side * side * len(mode)))


def log_line(step: int, **changes: Any) -> dict[str, Any]:
    line = {
        "kind": "log",
        "step": step,
        "seconds": step / 10,
        "seen": step * 64,
        "rate": 640.0,
        "losses": {"discriminator": {"real": 0.5, "fake": 0.4}, "generator": {"adversarial": 1.0 + step % 7}},
        "gradients": {"discriminator": 1.5, "generator": 0.5},
        "lr": {"generator": 2e-4},
        "statistics": {"real_logit": 1.0, "fake_logit": -1.0, "heldout_logit": 0.9, "diversity": 0.9},
    }
    return {**line, **changes}


def score(name: str, value: Any = 3.5, heading: str = "authenticity") -> dict[str, Any]:
    signature = {"extractor": "effnet-lite0", "generated": 2000, "seed": 0}
    limits = {"low": 3.0, "high": 4.0, "floor": 1.25}
    return {"name": name, "value": value, **limits, "heading": heading, "signature": signature}


def write_lines(folder: Path, lines: list[dict[str, Any]], tail: str = "") -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + tail, "utf-8")


def fill(folder: Path, lines: int = 40, grids: int = 3, side: int = 64, evil: str = "") -> Path:
    """A run folder with everything in it."""
    (folder / "samples").mkdir(parents=True)
    (folder / "scores").mkdir()
    for i in range(grids):
        noise(side).save(folder / "samples" / f"step_{i * 10:06d}.png", compress_level=1)
    noise(48).save(folder / "scores" / "neighbors.png")
    (folder / "skipped.txt").write_text(f"bad.png: truncated{evil}\n", "utf-8")
    facts = {
        "recipe": f"dcgan{evil}",
        "config": {"steps": lines, "penalty": {"gamma": 0.1, f"key{evil}": evil}, "budget": None},
        "command": f"luoxia train dcgan{evil}",
        "data": {"source": f"digits{evil}", "count": 5000, "width": 28, "height": 28, "channels": 1,
                 "classes": ["zero", f"one{evil}"], "labeled": True, "skipped": 1, "fingerprint": "9f2c"},
        "parameters": {f"generator{evil}": 3_000_000},
        "versions": {"torch": "2.10.0"},
        "hardware": {"device": "cpu", "name": f"Xeon{evil}", "threads": 2, "precision": "bf16"},
        "started": "2026-05-04T18:21:07",
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(facts), "utf-8")
    events = [
        {"kind": "event", "step": 0, "seconds": 0, "event": "started", "detail": f"on cpu{evil}"},
        {"kind": "score", "step": 5, "seconds": 1, "final": False, "scores": [score(f"FD-x{evil}")]},
        {"kind": "score", "step": 9, "seconds": 1, "final": True, "scores": [
            score(f"FD-x{evil}", 2.5), score("recall", 0.6, "creativity"), score("novel", 7, f"odd{evil}")]},
        {"kind": "finding", "step": 7, "seconds": 1, "name": f"overfitting{evil}", "severity": "warning",
         "evidence": f"sign 0.9{evil}", "advice": f"more data{evil}", "key": f"r1.gamma{evil}"},
        {"kind": "event", "step": lines, "seconds": 99, "event": f"finished{evil}", "detail": ""},
    ]  # fmt: skip
    logs = [
        log_line(step + 1, losses={f"discriminator{evil}": {f"real{evil}": 0.5}}) for step in range(lines)
    ]
    write_lines(folder, [*events[:1], *logs, *events[1:]])
    return folder


def read(folder: Path) -> str:
    return write_report(folder).read_text("utf-8")


def test_a_full_folder_tells_everything(tmp_path: Path) -> None:
    page = Page(read(fill(tmp_path / "dcgan-1")))
    for said in (
        "dcgan-1", "digits", "40 steps", "Finished", "FD-x", "Authenticity", "Creativity", "Odd", "novel",
        "effnet-lite0", "r1.gamma", "more data", "bad.png: truncated", "penalty.gamma", "3,000,000", "2.10.0",
        "luoxia train dcgan", "5,000", "zero, one",
    ):  # fmt: skip
        assert said in page.text, said
    assert ("html", {"lang": "en"}) in page.tags
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    text = read(fill(tmp_path / "run"))
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "#").startswith("#")
    assert "http://" not in text and "https://" not in text
    assert "@import" not in text and "url(" not in text
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    targets = [a["href"] for _, a in page.tags if a.get("href")]
    assert len(names) == len(set(names))
    assert {str(target)[1:] for target in targets} <= set(names)


def test_nothing_from_the_files_becomes_markup(tmp_path: Path) -> None:
    page = Page(read(fill(tmp_path / "run", evil=EVIL)))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert sum("alert(1)" in word for word in page.words) > 10  # it is all there, as text


def test_only_the_reports_own_script_may_run(tmp_path: Path) -> None:
    policy = next(a["content"] for _, a in Page(read(tmp_path)).tags if "http-equiv" in a)
    assert policy and "default-src 'none'" in policy and "media-src data:" in policy
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", policy)


@pytest.mark.parametrize(
    "missing",
    ["run.json", "metrics.jsonl", "skipped.txt", "scores/neighbors.png", "samples/step_000000.png"],
)
def test_any_piece_may_be_missing_or_garbage(tmp_path: Path, missing: str) -> None:
    folder = fill(tmp_path / "run")
    (folder / missing).write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe{[")
    assert "Luoxia" in read(folder)
    (folder / missing).unlink()
    assert "Luoxia" in read(folder)


def test_an_empty_folder_names_the_next_action(tmp_path: Path) -> None:
    page = Page(read(tmp_path))
    for said in ("sample_every", "log_every", "luoxia measure", "run.json is missing", "Unfinished"):
        assert said in page.text


@pytest.mark.parametrize(
    "value", [None, [], "text", 3, {"a": None}, [[1]], True, {"a": {"b": {}}}, 10**400, -1]
)
def test_values_of_unexpected_types_do_no_harm(tmp_path: Path, value: Any) -> None:
    keys = ("recipe", "config", "command", "data", "parameters", "versions", "hardware", "seed", "started")
    data = dict.fromkeys(("source", "count", "height", "classes", "skipped", "labeled"), value)
    for facts in (value, dict.fromkeys(keys, value), {"data": data}):
        (tmp_path / "run.json").write_text(json.dumps(facts), "utf-8")
        odd = dict.fromkeys(("losses", "gradients", "lr", "statistics", "rate", "seen", "seconds"), value)
        inner = {key: {"x": value} for key in ("losses", "gradients", "lr", "statistics")}
        lines = [
            log_line(1),
            {**log_line(2), **odd},
            {**log_line(3), **inner},
            {**log_line(4), "losses": {"d": {"x": value}}},
        ]
        for kind in ("score", "finding", "event"):
            lines.append(
                {"kind": kind, "step": 5, "scores": value, "event": value, "name": value, "detail": value}
            )
        lines.append(
            {"kind": "score", "step": 6, "scores": [dict.fromkeys(score("x"), value), {"name": "KID-y"}]}
        )
        lines += [{"kind": value, "step": 7}, {"kind": "log", "step": value}]
        write_lines(tmp_path, lines)
        assert "Luoxia" in read(tmp_path)


def test_where_time_and_memory_went(tmp_path: Path) -> None:
    times = {"data_seconds": 1.0, "step_seconds": 7.0, "maintenance_seconds": 2.0}
    memory = {"memory_bytes": 3 * 2**30, "memory_reserved_bytes": 4 * 2**30}
    lines = [log_line(step, **times, **memory, flops_share=0.25) for step in (10, 20)]
    write_lines(tmp_path, lines)
    page = read(tmp_path)
    for name, value in (
        ("steps", "0.7"), ("waiting for data", "0.1"), ("maintenance", "0.2"), ("in use", "3"), ("reserved", "4"),
        ("Share of the device&#x27;s FLOPs", "0.25"),
    ):  # fmt: skip
        assert re.search(rf'data-name="{name}" data-steps="10 20" data-values="{value} {value}"', page), name


def test_lines_of_an_older_version_have_no_costs(tmp_path: Path) -> None:
    write_lines(tmp_path, [log_line(10), log_line(20)])
    page = read(tmp_path)
    assert "Share of the time" not in page and "Memory, GiB" not in page and "FLOPs" not in page
    old = {key: value for key, value in log_line(30).items() if key != "seen"}
    (tmp_path / "run.json").write_text('{"data": {"height": 28}}')
    write_lines(tmp_path, [{**old, "images": 1234}])
    assert "1,234 images seen" in Page(read(tmp_path)).text


def test_a_half_written_last_line_is_no_error(tmp_path: Path) -> None:
    write_lines(tmp_path, [log_line(1), log_line(2)], tail='{"kind": "log", "st')
    record = read_run(tmp_path)
    assert [line["step"] for line in record.logs] == [1, 2]
    assert record.unreadable == 0


def test_broken_lines_are_counted_on_the_page(tmp_path: Path) -> None:
    write_lines(
        tmp_path, [log_line(1)], tail='garbage\n[]\n{"kind": "log"}\n' + json.dumps(log_line(2)) + "\n"
    )
    assert [line["step"] for line in read_run(tmp_path).logs] == [1, 2]
    assert "3 lines of metrics.jsonl could not be read" in Page(read(tmp_path)).text


def test_values_that_are_not_finite_are_shown_as_such(tmp_path: Path) -> None:
    lines = [log_line(step) for step in range(1, 30)]
    lines[10]["losses"] = {"discriminator": {"real": math.nan}, "generator": {"adversarial": math.inf}}
    lines[12]["gradients"] = {"generator": "NaN"}
    lines.append({"kind": "score", "step": 30, "scores": [score("FD-x", math.inf), score("precision", None)]})
    write_lines(tmp_path, lines)
    text = read(tmp_path)
    assert "1 value not finite (red ticks), first at step 11" in text
    assert "first at step 13" in text
    drawn = " ".join(re.findall(r' (?:d|data-values|data-y|style)="([^"]*)"', text))
    assert not re.search(r"nan|inf", drawn, re.IGNORECASE)


def test_a_rollback_replaces_the_lines_behind_it() -> None:
    steps = [{"step": float(step)} for step in (10, 20, 30, 20, 30, 40)]
    assert [line["step"] for line in current_branch(steps)] == [10, 20, 30, 40]


def test_the_write_is_atomic_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write_report(tmp_path).read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(LuoxiaError, match="disk full"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_bytes() == before


def test_it_stays_small_and_quick(tmp_path: Path) -> None:
    folder = fill(tmp_path / "run", lines=2000, grids=60, side=528)  # noise: the worst case for compression
    size = write_report(folder).stat().st_size
    assert size < 3_000_000
    thumbs = [a for tag, a in Page(read(folder)).tags if tag == "button" and "data-step" in a]
    assert len(thumbs) == 24
    assert (thumbs[0]["data-step"], thumbs[-1]["data-step"]) == ("0", "590")


def test_a_small_picture_keeps_its_bytes(tmp_path: Path) -> None:
    folder = fill(tmp_path / "run", grids=1)
    raw = (folder / "samples" / "step_000000.png").read_bytes()
    assert b64encode(raw).decode() in read(folder)


def test_thinning_keeps_spikes_and_order() -> None:
    points = [(float(i), 0.0) for i in range(10_000)]
    points[4321] = (4321.0, 99.0)
    points[8765] = (8765.0, -99.0)
    kept = thin(points)
    assert len(kept) <= 600
    assert {99.0, -99.0} <= {value for _, value in kept}
    assert kept == sorted(kept)


def test_smoothing_keeps_a_constant_and_the_ends() -> None:
    line = smooth([(float(i), 2.0) for i in range(1000)])
    assert (line[0][0], line[-1][0]) == (0.0, 999.0)
    assert all(value == pytest.approx(2.0) for _, value in line)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        [],
        [math.nan],
        [0.0],
        [5.0],
        [-3.0, -3.0],
        [1e-300, 1e300],
        [1e-9, 1.0, 1e9],
        [7.0, 7.0 + 1e-12],
        [1e18] * 3,
    ],
)
def test_any_series_can_be_drawn(values: list[float], log: bool) -> None:
    chart = Chart("c", [Series("s", [(float(i), value) for i, value in enumerate(values)])], "aid", log=log)
    drawn = draw(chart, 0)
    assert not re.search(r"\b(nan|inf)\b", drawn)
    assert all(0 <= float(top) <= 100 for top in re.findall(r"top:([-\d.]+)%", drawn))


def test_numbers_read_well() -> None:
    assert [spell(v) for v in (0, 0.81234, 29.468, 12345.6, -2)] == ["0", "0.8123", "29.47", "12,346", "−2"]
    assert spell(0.00002) == "2 × 10⁻⁵"
    assert [duration(v) for v in (42, 600, 7500, math.nan)] == ["42 s", "10 min", "2 h 5 min", ""]


def test_scores_of_before_are_explained_and_unknown_ones_tolerated() -> None:
    assert old_meaning("FD-effnet-lite0").better == "lower"
    assert old_meaning("class_histogram").sentence == old_meaning("class histogram").sentence != ""
    assert old_meaning("something-new") == ("", "")


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_colors_have_contrast_in_both_modes() -> None:
    css = files("luoxia.runs").joinpath("report.css").read_text("utf-8")
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in css.split("@media")[:2])
    for mode in (light, dark):
        for ground in (mode["paper"], mode["card"]):
            for name in ("ink", "quiet", "accent", "good", "warning", "error", *(f"s{i}" for i in range(6))):
                bright, dim = sorted((luminance(mode[name]), luminance(ground)), reverse=True)
                needed = 3.0 if re.fullmatch(r"s\d", name) else 4.5  # lines need less than text
                assert (bright + 0.05) / (dim + 0.05) >= needed, (name, mode[name], ground)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, luoxia.runs.report; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_score_measured_again_at_the_same_step_has_a_sparkline() -> None:
    drawing = sparkline([(20.0, 1.0), (20.0, 2.0), (20.0, 2.0)])
    assert "<path" in drawing
    assert "nan" not in drawing
