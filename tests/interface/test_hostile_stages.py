"""Runs of several stages from anybody, and on a full disk: a sentence, and what was whole stays whole."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import luoxia
from compatibility.make_runs import weights_digest
from luoxia.core import files
from luoxia.core.errors import LuoxiaError
from luoxia.training import own

FILE = Path(__file__).parents[1] / "house" / "points.py"
SETTINGS: dict[str, Any] = {
    "steps": 4, "gan_steps": 4, "width": 4, "batch": 8, "checkpoint_every": 2, "log_every": 2, "sample_every": 0,
    "score_every": 0, "score_samples": 8, "device": "cpu", "quiet": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_use() -> Iterator[None]:
    with own.alone():
        luoxia.use(FILE)
        yield


def train(data: Path, out: Path) -> Path:
    return luoxia.train(f"{FILE}:Points", data=str(data), out=str(out), **SETTINGS).path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("points") / "points.csv"
    path.write_text("x,y\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(60)))
    return path


@pytest.fixture(scope="session")
def whole(data: Path) -> Path:
    """A finished run of two stages; to be read, never changed."""
    with own.alone():
        luoxia.use(FILE)
        return train(data, data.parent / "run")


@pytest.fixture
def staged(whole: Path, here: Path) -> Path:
    return Path(shutil.copytree(whole, here / "staged"))


def full(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No room is left for a folder of that name."""
    flush = files.flush

    def failing(path: Path) -> None:
        if any(part.startswith(f".{name}.") for part in path.parts):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path)

    monkeypatch.setattr(files, "flush", failing)


def content(folder: Path) -> dict[str, str]:
    found = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in found}


def test_a_full_disk_leaves_the_model_as_it_was(staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(staged / "model")
    with monkeypatch.context() as patch:
        full(patch, "model")
        with pytest.raises(LuoxiaError, match=r"^cannot write .*/model: No space left on device$"):
            luoxia.resume(staged, steps=6, quiet=True)
    assert content(staged / "model") == before
    assert not list(staged.glob(".model.*"))
    luoxia.resume(staged, steps=8, quiet=True)
    assert content(staged / "model") != before


def test_a_full_disk_where_a_stage_ends_costs_nothing_of_it(
    data: Path, whole: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        full(patch, "left")
        with pytest.raises(LuoxiaError, match=r"^cannot write .*/left: No space left on device$"):
            train(data, here / "broken")
    assert [entry.name for entry in (here / "broken" / "stages" / "gan").iterdir()] == ["checkpoints"]
    luoxia.resume(here / "broken", quiet=True)
    assert weights_digest(here / "broken") == weights_digest(whole)


ODD: tuple[Any, ...] = (None, True, -1, 10**400, "\x1b[2J", [], {}, [1], {"../x": "0"}, "gone")


def one_sentence(result: Any, code: int | None = None) -> None:
    assert result.exit_code in ((0, 1, 2) if code is None else (code,)), result.stderr
    assert "Traceback" not in result.stderr and "fault of Luoxia's own" not in result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("luoxia: ")]
    assert len(told) == (result.exit_code != 0)
    assert all(line.isprintable() and len(line) < 1000 for line in told)


@pytest.mark.parametrize("key", ["files", "seconds"])
def test_a_manifest_of_a_stage_of_wrong_values(staged: Path, luoxia_command: Callable, key: str) -> None:
    file = staged / "stages" / "gan" / "left" / "manifest.json"
    manifest = json.loads(file.read_text())
    for value in (*ODD, float("nan"), float("inf")):
        changed = {**manifest, key: value}
        if value == "gone":
            del changed[key]
        elif key == "seconds" and value is True:
            continue  # a second
        file.write_text(json.dumps(changed))
        result = luoxia_command("resume", staged, "steps=6", f"use={FILE}")
        one_sentence(result, 1)
        assert "left is damaged: " in result.stderr and "remove it to train that stage again" in result.stderr


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a":' * 100_000, "\x00", "../../x"])
def test_a_manifest_of_a_stage_of_nonsense(staged: Path, luoxia_command: Callable, text: str) -> None:
    (staged / "stages" / "gan" / "left" / "manifest.json").write_text(text)
    one_sentence(luoxia_command("resume", staged, "steps=6", f"use={FILE}"), 1)


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "..", ".", "", "a/b", "model.safetensors/../x"])
def test_a_manifest_of_a_stage_that_lists_files_elsewhere(
    staged: Path, luoxia_command: Callable, name: str
) -> None:
    left = staged / "stages" / "gan" / "left"
    (left.parent / "x").write_bytes(b"x")
    manifest = json.loads((left / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(b"x").hexdigest()
    (left / "manifest.json").write_text(json.dumps(manifest))
    result = luoxia_command("resume", staged, "steps=6", f"use={FILE}")
    one_sentence(result, 1)
    assert "left is damaged: " in result.stderr


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "manifest.json"])
def test_what_a_stage_left_is_missing_or_a_pipe(staged: Path, luoxia_command: Callable, name: str) -> None:
    file = staged / "stages" / "gan" / "left" / name
    file.unlink()
    one_sentence(luoxia_command("resume", staged, "steps=6", f"use={FILE}"), 1)
    if hasattr(os, "mkfifo"):
        os.mkfifo(file)
        one_sentence(luoxia_command("resume", staged, "steps=6", f"use={FILE}"), 1)


@pytest.mark.parametrize("name", ["stages", "stages/gan", "stages/gan/left", "stages/refiner"])
def test_a_stage_is_no_link(staged: Path, here: Path, luoxia_command: Callable, name: str) -> None:
    place = staged / name
    if place.exists():
        place.rename(here / "elsewhere")
    else:
        (here / "elsewhere").mkdir()
    before = content(here / "elsewhere")
    place.symlink_to(here / "elsewhere")
    result = luoxia_command("resume", staged, "steps=6", f"use={FILE}")
    one_sentence(result, 2)
    assert f"{name} is a link" in result.stderr
    assert content(here / "elsewhere") == before


def test_a_removed_stage_is_trained_again(staged: Path, whole: Path) -> None:
    shutil.rmtree(staged / "stages" / "gan" / "left")
    (staged / "stages" / "gan" / "left").mkdir()
    with pytest.raises(LuoxiaError, match="remove it to train that stage again"):
        luoxia.resume(staged, steps=5, quiet=True)
    (staged / "stages" / "gan" / "left").rmdir()
    luoxia.resume(staged, steps=5, quiet=True)
    assert (
        content(staged / "stages" / "gan" / "left").keys()
        == content(whole / "stages" / "gan" / "left").keys()
    )
