"""A line that cannot be printed ends no work: the reader left, the disk is full, the terminal was closed."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from luoxia.core.streams import Patient
from luoxia.training.checkpoint import load_latest

Command = Callable[..., Result]
FULL = Path("/dev/full")
PATIENCE = 120
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


def start(*words: object, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "luoxia", *map(str, words)], text=True, **streams)


def trained(run: Path) -> bool:
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return load_latest(run / "checkpoints").step == 30 and events[-1].get("event") == "finished"


@pytest.fixture
def words(photos: Path, tiny: tuple[str, ...]) -> tuple[str, ...]:
    return ("train", "gan", f"data={photos}", *tiny, "steps=30", "log_every=1", "out=run")


def test_training_goes_on_when_its_reader_has_left(words: tuple[str, ...], here: Path) -> None:
    """``luoxia train … 2>&1 | head -1``."""
    with start(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert process.stdout.readline()  # of the data: decoded now, or found in the cache
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
    assert trained(here / "run")


@needs_full
def test_training_goes_on_when_its_words_fill_the_disk(words: tuple[str, ...], here: Path) -> None:
    with FULL.open("w") as full, start(*words, stdout=subprocess.PIPE, stderr=full) as process:
        told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "run:     run" in told
    assert trained(here / "run")


def test_training_goes_on_without_standard_streams(words: tuple[str, ...], here: Path) -> None:
    """``luoxia train … >&- 2>&-``: what is opened next must not take their place."""
    close = (
        "import os, sys; os.close(1); os.close(2); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", close, "-m", "luoxia", *words], timeout=PATIENCE, check=False
    )
    assert done.returncode == 0
    assert trained(here / "run")


def test_a_terminal_that_is_closed_saves_the_training(words: tuple[str, ...], here: Path) -> None:
    leader, follower = os.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)

    endless = [*words[:-3], "steps=1_000_000", "log_every=1", "out=run"]
    process = start(*endless, stdin=follower, stdout=follower, stderr=follower, preexec_fn=own_terminal)
    os.close(follower)
    seen = b""
    while b"left" not in seen:  # the bar, after some steps
        seen += os.read(leader, 4096)
    os.close(leader)
    assert process.wait(PATIENCE) == 1
    events = [json.loads(line) for line in (here / "run/metrics.jsonl").read_text().splitlines()]
    assert (events[-1]["event"], events[-1]["detail"]) == ("stopped", "by SIGHUP")
    assert load_latest(here / "run/checkpoints").step == events[-1]["step"] > 0


def test_a_file_is_written_though_nobody_reads_where(run: Path, here: Path) -> None:
    process = start("sample", run, "out=grid.png", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.wait(PATIENCE), process.stderr.read()) == (0, "")
    assert (here / "grid.png").stat().st_size > 0


@needs_full
@pytest.mark.parametrize("words", [("recipes",), ("recipes", "--json")])
def test_results_that_fill_the_disk_are_an_error(words: tuple[str, ...]) -> None:
    with FULL.open("w") as full, start(*words, stdout=full, stderr=subprocess.PIPE) as process:
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert told == "luoxia: standard output cannot be written: No space left on device\n"


@needs_full
def test_records_that_fill_the_disk_are_told_of_once(
    luoxia_command: Command, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if path.name == "metrics.jsonl" and mode == "a+b" and Path("run/checkpoints/LATEST").exists():
            return opened(FULL, "ab")
        return opened(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    result = luoxia_command(*words)
    told = [line for line in result.stderr.splitlines() if os.strerror(errno.ENOSPC) in line]
    assert (
        told
        == [
            "cannot write run/metrics.jsonl: No space left on device; training continues; "
            "other such files may be missing",
            "luoxia: cannot write run/metrics.jsonl: No space left on device",  # the end of the run, which must be kept
        ]
    )
    assert result.exit_code == 1
    assert load_latest(Path("run/checkpoints")).step == 30


def test_what_the_encoding_lacks_is_a_question_mark(tmp_path: Path) -> None:
    with (tmp_path / "ascii").open("w", encoding="ascii") as file:
        stream = Patient(file)
        assert stream.write("≤ 落霞\udcff") == 5
        assert stream.lost is None
    assert (tmp_path / "ascii").read_text() == "? ???"
    stream.write("too late")
    stream.flush()
    assert isinstance(stream.lost, ValueError)
