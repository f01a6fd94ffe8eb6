"""A folder that is written again is the old one or the new one, wherever the writer is killed or refused."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import in_force, new_version, whole_folder

OURS = ("weights", "config", "part")
WRITES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def write(folder: Path, version: str) -> None:
    with new_version(folder, OURS) as new:
        for name in ("weights", "config"):
            (new / name).write_text(version)
        (new / "part").mkdir()
        (new / "part" / "inner").write_text(version)


def version_of(folder: Path) -> str:
    found = {path.read_text() for path in (folder / "weights", folder / "config", folder / "part" / "inner")}
    assert len(found) == 1
    return found.pop()


def begun(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    write(folder, "old")
    (folder / "notes").write_text("mine")
    (folder / "generated").mkdir()
    (folder / "generated" / "001.png").write_text("mine")
    return folder


def interrupted(work: Callable[[], None], at: int, action: Callable[[], None]) -> int:
    """Do the work in a process of its own that is interrupted at one touch of the disk; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    touched = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal touched
        if event in WRITES and not str(arguments[0]).endswith((".py", ".pyc")):
            touched += 1
            if touched == at:
                action()

    code = 3
    try:
        sys.addaudithook(hook)
        work()
        code = 0
    except (LuoxiaError, KeyboardInterrupt):
        code = 1
    finally:
        os._exit(code)


def refuse() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "action", [lambda: os._exit(9), refuse, interrupt], ids=["killed", "refused", "interrupted"]
)
def test_it_is_the_old_one_or_the_new_one(tmp_path: Path, action: Callable) -> None:
    for at in range(1, 200):
        here = tmp_path / str(at)
        here.mkdir()
        folder = begun(here)
        code = interrupted(lambda folder=folder: write(folder, "new"), at, action)  # type: ignore[misc]
        found = version_of(in_force(folder))
        if code == 0:  # there is no touch of that number
            break
        assert found in ("old", "new")
        assert code in (1, 9)
        write(folder, "newer")
        assert version_of(folder) == "newer"
        assert (folder / "notes").read_text() == (folder / "generated" / "001.png").read_text() == "mine"
        assert [path.name for path in here.iterdir()] == ["model"]
    assert 10 < at < 199
    assert found == "new"


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config").write_text("another's")
    (tmp_path / "model").symlink_to(elsewhere)
    write(tmp_path / "model", "new")
    assert version_of(tmp_path / "model") == "new"
    assert not (tmp_path / "model").is_symlink()
    assert [(path.name, path.read_text()) for path in elsewhere.iterdir()] == [("config", "another's")]


def test_an_export_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(LuoxiaError, match="cannot write"), whole_folder(tmp_path / "out") as new:
        (new / "a").write_text("new")
        (tmp_path / "out" / "b").write_text("of another process")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "b"]
