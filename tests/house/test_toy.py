"""A medium and a task from a file outside the package go through every verb, and are killed where stages meet."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import luoxia
from compatibility.make_runs import weights_digest
from luoxia.cli.main import app
from luoxia.runs.run import Run
from luoxia.training.session import Session

FILE = Path(__file__).parent / "points.py"
Command = Callable[..., Any]
SETTINGS: dict[str, Any] = {
    "steps": 12, "gan_steps": 8, "width": 8, "batch": 16, "checkpoint_every": 5, "log_every": 4, "sample_every": 0,
    "score_every": 0, "score_samples": 50, "device": "cpu", "quiet": True,
}  # fmt: skip


def write_points(path: Path, points: Any) -> Path:
    path.write_text("x,y\n" + "".join(f"{x:.6f},{y:.6f}\n" for x, y in points))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    rng = np.random.default_rng(0)
    turn = rng.uniform(0.5, 3, 200)
    spiral = np.c_[turn * np.cos(3 * turn), turn * np.sin(3 * turn)] / 1.5
    write_points(folder / "spiral.csv", spiral + rng.normal(0, 0.03, spiral.shape))
    corner = rng.integers(0, 8, 200) * np.pi / 4
    eight = 2 * np.c_[np.cos(corner), np.sin(corner)]
    write_points(folder / "eight.csv", eight + rng.normal(0, 0.05, eight.shape))
    shutil.copy(FILE, folder / "points.py")
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    """A run of two stages, never interrupted."""
    return train(place, place / "run")


@pytest.fixture
def luoxia_command() -> Command:
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def _in_use(place: Path) -> Iterator[None]:
    from luoxia.training import own

    with own.alone():
        luoxia.use(place / "points.py")
        yield


def train(place: Path, out: Path, **more: Any) -> Path:
    data = str(place / "spiral.csv")
    return luoxia.train(f"{place / 'points.py'}:Points", data=data, out=str(out), **{**SETTINGS, **more}).path


def test_it_leaves_a_run_of_two_stages(run: Path) -> None:
    manifest = json.loads((run / "run.json").read_text())
    assert (manifest["task"], manifest["output"], manifest["unit"]) == (
        "point generation",
        "points",
        "points",
    )
    assert manifest["stages"] == ["gan", "refiner"]
    assert set(manifest["parameters"]) == {"generator", "discriminator", "model"}
    records = list(Run.open(run).records())
    assert [record["stage"] for record in records] == sorted(record["stage"] for record in records)
    assert {record["stage"] for record in records} == {"gan", "refiner"}
    seconds = [record["seconds"] for record in records]
    assert seconds == sorted(seconds)
    left = json.loads((run / "stages" / "gan" / "left" / "manifest.json").read_text())
    assert set(left["files"]) == {"model.safetensors", "config.json"}


def test_its_model_is_loaded_and_sampled(run: Path) -> None:
    model = luoxia.load(run)
    np.testing.assert_array_equal(model.sample(5, seed=3)[:2], model.sample(2, seed=3))


@pytest.mark.parametrize("lost", ["before it left", "after it left", "in the first step of the next"])
def test_killed_at_the_seam_it_ends_as_if_it_had_not_been(
    lost: str, run: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    enter, calls = Session._enter, []

    def second(session: Session) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        enter(session)

    if lost == "before it left":
        monkeypatch.setattr(Session, "_leave", die)
    elif lost == "after it left":
        monkeypatch.setattr(Session, "_enter", second)
    else:
        monkeypatch.setattr(Session, "_describe_stage", die)
    with pytest.raises(Killed):
        train(place, tmp_path / "killed")
    monkeypatch.undo()
    luoxia.resume(tmp_path / "killed", quiet=True)
    assert weights_digest(tmp_path / "killed") == weights_digest(run)


@pytest.mark.parametrize("stage", ["gan", "refiner"])
def test_a_stage_is_resumed_bit_for_bit(
    stage: str, run: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    from luoxia.training.trainer import Trainer

    step = Trainer.step

    def fall(trainer: Trainer) -> None:
        if ("model" in trainer.networks) == (stage == "refiner") and trainer.progress.step == 7:
            raise Killed
        step(trainer)

    monkeypatch.setattr(Trainer, "step", fall)
    with pytest.raises(Killed):
        train(place, tmp_path / "killed")
    monkeypatch.undo()
    again = train(place, tmp_path / "killed")  # the same command continues it
    assert weights_digest(again) == weights_digest(run)
    steps = [(line["stage"], line["step"]) for line in Run.open(again).records("log")]
    assert steps == [("gan", 4), ("gan", 8), ("refiner", 4), ("refiner", 8), ("refiner", 12)]


def test_more_steps_are_those_of_the_last_stage(run: Path, place: Path, tmp_path: Path) -> None:
    longer = train(place, tmp_path / "longer", steps=20)
    copy = shutil.copytree(run, tmp_path / "resumed")
    luoxia.resume(copy, steps=20, quiet=True)
    assert weights_digest(copy) == weights_digest(longer)


def test_what_a_stage_left_is_checked(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "altered")
    weights = copy / "stages" / "gan" / "left" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(
        luoxia.LuoxiaError, match=r"model\.safetensors is not the file that was written; remove it"
    ):
        luoxia.resume(copy, steps=20, quiet=True)


def test_a_budget_is_shared_and_what_is_left_over_goes_on(place: Path, tmp_path: Path) -> None:
    path = train(place, tmp_path / "timed", budget=2.0, gan_steps=2, steps=10**6)
    ended = {line["stage"]: line["seconds"] for line in Run.open(path).records("event")}
    assert 0 < ended["gan"] < 1.5 < ended["refiner"] < 10  # the first stage ended by its steps


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_process_killed_at_the_seam(run: Path, place: Path, tmp_path: Path) -> None:
    program = (
        "import os, signal, luoxia\n"
        "from luoxia.training.session import Session\n"
        "Session._describe_stage = lambda session: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"luoxia.train({str(place / 'points.py') + ':Points'!r}, data={str(place / 'spiral.csv')!r}, "
        f"out={str(tmp_path / 'killed')!r}, **{SETTINGS!r})"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    luoxia.resume(tmp_path / "killed", quiet=True)
    assert weights_digest(tmp_path / "killed") == weights_digest(run)


@pytest.mark.parametrize("base", ["run", "model"])
def test_a_fine_tuning_killed_at_the_seam_needs_its_base_no_more(
    base: str, run: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    def tune(out: Path, source: Path) -> Run:
        settings = {key: value for key, value in SETTINGS.items() if key != "width"}
        return luoxia.finetune(source, data=str(place / "eight.csv"), out=str(out), **settings)

    source = shutil.copytree(run if base == "run" else run / "model", tmp_path / "source")
    whole = tune(tmp_path / "whole", source)
    assert not (whole.path / "base").exists()
    monkeypatch.setattr(Session, "_describe_stage", die)
    with pytest.raises(Killed):
        tune(tmp_path / "killed", source)
    monkeypatch.undo()
    shutil.rmtree(source)
    kept = {path.name for path in (tmp_path / "killed" / "base").rglob("*")}
    assert "model.safetensors" in kept and not any(name.startswith("optimizer_") for name in kept)
    luoxia.resume(tmp_path / "killed", quiet=True)
    assert weights_digest(tmp_path / "killed") == weights_digest(whole.path)
    assert not (tmp_path / "killed" / "base").exists()
    origins = [
        json.loads((path / "run.json").read_text())["origin"] for path in (whole.path, tmp_path / "killed")
    ]
    assert origins[0] == origins[1]


def test_every_verb_takes_it(run: Path, place: Path, tmp_path: Path, luoxia_command: Command) -> None:
    """By the command line, which knows no file but the one that is named."""
    use, copy = f"use={place / 'points.py'}", shutil.copytree(run, tmp_path / "copy")

    def done(*words: Any) -> str:
        result = luoxia_command(*words)
        assert result.exit_code == 0, result.stderr
        return str(result.stdout)

    recipe = f"{place / 'points.py'}:Points"
    assert "800" not in done("data", place / "eight.csv", use) and "200" in done(
        "data", place / "eight.csv", use
    )
    assert "point" in done("train", recipe, f"data={place / 'spiral.csv'}", "--dry-run")
    done("resume", copy, "steps=14", use)
    done("sample", copy, use, "n=5", f"out={tmp_path / 'five.csv'}")
    assert len((tmp_path / "five.csv").read_text().splitlines()) == 6
    assert "Points" in done("inspect", tmp_path / "five.csv")
    assert "energy distance" in done("measure", copy, use)
    assert "energy distance" in done("measure", copy, use, f"data={place / 'eight.csv'}")
    done("export", copy, use, f"out={tmp_path / 'weights.npz'}")
    assert "generator.0.weight" in np.load(tmp_path / "weights.npz")
    tuned = tmp_path / "tuned"
    done(
        "finetune",
        copy,
        use,
        f"data={place / 'eight.csv'}",
        "device=cpu",
        "gan_steps=1",
        "lr=1e-9",
        f"out={tuned}",
    )
    networks = json.loads((tuned / "run.json").read_text())["origin"]["networks"]
    assert {"generator", "model"} <= networks.keys() and networks["generator"]["fresh"] == []
    before, after = (load_file(folder / "stages/gan/left/model.safetensors") for folder in (copy, tuned))
    model = load_file(tuned / "model/model.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-6)
        assert torch.equal(model[f"generator.{name}"], after[name])
    assert "point generation" in done("inspect", copy)
    report = (copy / "report.html").read_text()
    assert "energy distance" in report and "point" in report


@pytest.mark.parametrize("how", ["estimated", "measured"])
def test_every_stage_is_planned(how: str, run: Path, place: Path, luoxia_command: Command) -> None:
    recipe, data = f"{place / 'points.py'}:Points", f"data={place / 'spiral.csv'}"
    words = (recipe, data, "gan_steps=8", "steps=12", "width=8", "budget=100s", "device=cpu", f"plan={how}")
    told = luoxia_command("train", *words, "--dry-run").stdout
    assert "stage:      gan: 8 steps or 0:50" in told and "stage:      refiner: 12 steps or " in told
    planned = json.loads(luoxia_command("train", *words, "--dry-run", "--json").stdout)
    assert planned["parameters"] == json.loads((run / "run.json").read_text())["parameters"]
    gan, refiner = planned["stages"]
    assert (gan["stage"], gan["budget"], refiner["stage"]) == ("gan", 50, "refiner")
    assert gan["parameters"].keys() == {"generator", "discriminator"}
    assert refiner["budget"] == pytest.approx(100 - gan["seconds"])  # what one leaves over goes to the next
    assert planned["seconds"] == pytest.approx(gan["seconds"] + refiner["seconds"])
    assert (planned["seconds"] == 100) == (how == "estimated")


def test_what_it_cannot_do_is_one_sentence(run: Path, place: Path, luoxia_command: Command) -> None:
    result = luoxia_command("translate", run, "hello", f"use={place / 'points.py'}")
    assert result.exit_code == 2
    assert f"{run} is a point generator and cannot translate; use luoxia sample {run}" in result.stderr
    result = luoxia_command("sample", run)
    assert result.exit_code == 2 and "add use=" in result.stderr
