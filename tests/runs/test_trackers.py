"""``log=``: the numbers of metrics.jsonl in other tools, in the run's folder, and never in the way of training."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import luoxia
from luoxia.core.errors import LuoxiaError
from luoxia.runs.run import Run
from luoxia.runs.trackers import check_installed, open_tracker, scalars

TINY: dict[str, Any] = {
    "size": 16, "width": 4, "latent": 4, "batch": 4, "extractor": "none", "device": "cpu", "log_every": 2,
    "quiet": True,
}  # fmt: skip


def test_the_numbers_of_records() -> None:
    log = {"kind": "log", "step": 2, "seconds": 0.5, "losses": {"g": {"adv": 1.0, "bad": None}}, "flag": True}
    assert scalars(log) == {"seconds": 0.5, "losses/g/adv": 1.0}
    score = {
        "kind": "score",
        "step": 2,
        "scores": [{"name": "FD-self", "value": 3.0}, {"name": "x", "value": None}],
    }
    assert scalars(score) == {"scores/FD-self": 3.0}
    assert scalars({**score, "final": True}) == {"final scores/FD-self": 3.0}
    assert scalars({"kind": "event", "step": 2, "event": "checkpoint"}) == {}


def read_events(run: Path) -> dict[str, list[int]]:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = loading.EventAccumulator(str(run / "tensorboard")).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_has_each_log_line_once_after_a_resume(tmp_path: Path) -> None:
    run = luoxia.train("dcgan", out=str(tmp_path / "run"), steps=4, log="tensorboard", **TINY)
    luoxia.resume(run, steps=6, quiet=True)
    found = read_events(run.path)
    assert found["rate"] == [2, 4, 6]
    for name in ("seen", "data_seconds", "step_seconds", "maintenance_seconds", "memory_bytes"):
        assert found[name] == [2, 4, 6], name
    assert "losses/generator/adversarial" in found or any(tag.startswith("losses/") for tag in found)


class FakeTool(ModuleType):
    """W&B and MLflow, as far as they are called."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked: dict[str, Any] = {}
        self.seen: list[tuple[int, dict[str, float]]] = []
        self.ended = 0

    def init(self, **asked: Any) -> Any:
        self.asked = asked
        return SimpleNamespace(log=lambda values, step: self.seen.append((step, values)), finish=self.end_run)

    def end_run(self) -> None:
        self.ended += 1

    def set_tracking_uri(self, uri: str) -> None:
        self.asked["uri"] = uri

    def set_experiment(self, name: str) -> None: ...

    def log_params(self, parameters: dict[str, str]) -> None:
        self.asked["parameters"] = parameters

    def start_run(self, run_name: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def log_metrics(self, values: dict[str, float], step: int, run_id: str) -> None:
        self.seen.append((step, values))


@pytest.fixture
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeTool:
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    fake = FakeTool(request.param)
    monkeypatch.setitem(sys.modules, request.param, fake)
    return fake


@pytest.mark.parametrize("tool", ["wandb", "mlflow"], indirect=True)
def test_other_tools_stay_in_the_run_folder(tool: FakeTool, tmp_path: Path) -> None:
    with open_tracker(tool.__name__, tmp_path, {"lr": 0.1}, 0) as write:
        write({"rate": 5.0}, 2)
        assert tool.ended == 0
    assert tool.ended == 1  # or the next training of this process could begin none
    assert tool.seen == [(2, {"rate": 5.0})]
    if tool.__name__ == "wandb":
        assert (tool.asked["mode"], tool.asked["dir"]) == ("offline", str(tmp_path))
    else:
        assert tool.asked["uri"] == (tmp_path / "mlruns").resolve().as_uri()


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_package_is_named_before_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    with pytest.raises(LuoxiaError, match="pip install"):
        check_installed(name)
    with pytest.raises(LuoxiaError, match="pip install"):
        luoxia.train("dcgan", out=str(tmp_path / "run"), steps=2, log=name, **TINY)
    assert not (tmp_path / "run").exists()


def test_steps_count_on_from_stage_to_stage(tmp_path: Path) -> None:
    """W&B drops what goes back."""
    run, seen = Run.create(str(tmp_path / "run"), "gan"), []
    run.tracker = lambda values, step: seen.append(step)
    run.append("log", 50, 1.0, rate=5.0)
    run.enter("refiner", 1.0, 50)
    run.append("log", 2, 1.0, rate=5.0)
    assert seen == [50, 52] and [record["step"] for record in run.records()] == [50, 2]


def test_a_tracker_that_fails_is_dropped(tmp_path: Path) -> None:
    def write(values: dict[str, float], step: int) -> None:
        raise OSError("no space left")

    run = Run.create(str(tmp_path / "run"), "gan")
    run.tracker = write
    run.append("log", 2, 1.0, rate=5.0)
    run.append("log", 4, 2.0, rate=5.0)
    kinds = [(record["kind"], record["step"]) for record in run.records()]
    assert kinds == [("log", 2), ("event", 2), ("log", 4)]
    assert "no space left" in next(run.records("event"))["detail"]
