"""The run's folder: whose it is while it is trained, and what a training leaves that ended at once."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from luoxia.core.errors import UsageError
from luoxia.runs.run import Run
from luoxia.verbs.request import require_more

pytest.importorskip("fcntl")


def unbegun(folder: Path) -> Run:
    """What is left of a training that was killed while it wrote its first checkpoint."""
    half = folder / "checkpoints" / ".writing_step_000000_17"
    half.mkdir(parents=True)
    (half / "generator.safetensors").write_bytes(b"half")
    for name in ("run.json", "metrics.jsonl", ".lock"):
        (folder / name).write_text("{}")
    return Run(folder, {})


def test_only_one_training_holds_a_run(tmp_path: Path) -> None:
    held = pytest.raises(UsageError, match="is being trained by another process")
    with Run(tmp_path, {}).held(), held, Run(tmp_path, {}).held():
        pass
    with Run(tmp_path, {}).held():
        pass


def test_what_never_began_makes_room(tmp_path: Path) -> None:
    run = unbegun(tmp_path / "run")
    assert run.is_unbegun
    assert Run.create(str(run.path), "gan").path == run.path
    assert list(run.path.iterdir()) == []


@pytest.mark.parametrize("name", ["notes.txt", "model", "checkpoints/step_000000"])
def test_what_holds_anything_else_does_not(name: str, tmp_path: Path) -> None:
    run = unbegun(tmp_path / "run")
    (run.path / name).mkdir()
    with pytest.raises(UsageError, match="already holds files"):
        Run.create(str(run.path), "gan")
    assert (run.path / "run.json").is_file()


def test_nor_does_a_training_that_has_just_begun(tmp_path: Path) -> None:
    run = unbegun(tmp_path / "run")
    with run.held(), pytest.raises(UsageError, match="is being trained by another process"):
        Run.create(str(run.path), "gan")
    assert (run.path / "run.json").is_file() and (run.path / "checkpoints").is_dir()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    run = unbegun(tmp_path / "run")
    shutil.rmtree(run.checkpoints)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("")
    run.checkpoints.symlink_to(tmp_path / "elsewhere")
    run.discard_unbegun()
    assert (tmp_path / "elsewhere" / "precious").is_file()


def test_the_budget_of_a_run_is_that_of_all_its_stages(tmp_path: Path) -> None:
    for stage, manifest in (("codec", {"seconds": 40.0}), ("broken", {"seconds": "x"})):
        left = tmp_path / "stages" / stage / "left"
        left.mkdir(parents=True)
        (left / "manifest.json").write_text(json.dumps(manifest))
    run, state = Run(tmp_path, {}), {"step": 5, "seconds": 60.0}
    require_more(run, SimpleNamespace(steps=None, budget=101.0), state)
    with pytest.raises(
        UsageError, match="already used its 100 s; pass a larger budget=, such as budget=200s"
    ):
        require_more(run, SimpleNamespace(steps=None, budget=100.0), state)
