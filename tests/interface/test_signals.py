"""A signal ends a training cleanly, and what follows is what would have been."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

PATIENCE = 120


def settings(recipe: str, photos: Path) -> list[str]:
    width = {"gan": 2, "dcgan": 4}[recipe]
    return [
        "train", recipe, f"data={photos}", "extractor=none", f"width={width}", "latent=4", "batch=8", "size=16",
        "log_every=1", "sample_every=0", "checkpoint_every=7", "device=cpu",
    ]  # fmt: skip


def started(words: list[str], run: Path) -> subprocess.Popen[str]:
    """Start the command line and wait until it has trained for some steps."""
    process = subprocess.Popen(
        [sys.executable, "-m", "luoxia", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    metrics, deadline = run / "metrics.jsonl", time.monotonic() + PATIENCE
    while not metrics.exists() or metrics.read_text().count('"kind": "log"') < 10:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(process.communicate()[1])
        time.sleep(0.01)
    return process


def tensors(run: Path, step: int) -> dict[str, bytes]:
    folder = run / "checkpoints" / f"step_{step:06d}"
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.safetensors"))}


@pytest.mark.parametrize(
    ("recipe", "number"), [("gan", signal.SIGTERM), ("dcgan", signal.SIGINT), ("gan", signal.SIGHUP)]
)
def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(
    luoxia_command: Callable[..., Result],
    records: Callable[..., list[dict]],
    photos: Path,
    recipe: str,
    number: signal.Signals,
) -> None:
    words, run = settings(recipe, photos), Path("stopped")
    process = started([*words, "steps=1_000_000", f"out={run}"], run)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert stdout == ""
    assert "Traceback" not in stderr
    last = re.fullmatch(
        rf"luoxia: stopped by {number.name} at step ([\d,]+), everything is saved; to continue: luoxia resume stopped",
        stderr.splitlines()[-1],
    )
    assert last, stderr
    step = int(last[1].replace(",", ""))
    assert json.loads((run / "checkpoints" / f"step_{step:06d}" / "state.json").read_text())["step"] == step
    assert records(run, "event")[-1]["event"] == "stopped"
    assert (run / "report.html").exists()

    end = step + 20
    assert luoxia_command("resume", run, f"steps={end}").exit_code == 0
    assert luoxia_command(*words, f"steps={end}", "out=whole").exit_code == 0
    resumed, whole = tensors(run, end), tensors(Path("whole"), end)
    assert sorted(resumed) == sorted(whole)
    assert len(whole) == 5
    assert [name for name in whole if resumed[name] != whole[name]] == []
    first, second = ([*records(folder, "log")] for folder in (run, Path("whole")))
    for a, b in [*zip(first[: step - 1], second[: step - 1], strict=True), (first[-1], second[-1])]:
        assert (a["step"], a["losses"]) == (b["step"], b["losses"])
        # What is only observed, in float32, may round otherwise in another process.
        assert a["statistics"] == pytest.approx(b["statistics"], rel=1e-3, abs=1e-6)


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    luoxia_command: Callable[..., Result], records: Callable[..., list[dict]], photos: Path
) -> None:
    words, run = settings("gan", photos), Path("killed")
    process = started([*words, "steps=1_000_000", f"out={run}"], run)
    process.kill()
    process.communicate(timeout=PATIENCE)
    step = int((run / "checkpoints" / "LATEST").read_text().strip()[5:])
    assert step >= 7

    end = step + 20
    assert luoxia_command("resume", run, f"steps={end}").exit_code == 0
    assert luoxia_command(*words, f"steps={end}", "out=whole").exit_code == 0
    assert tensors(run, end) == tensors(Path("whole"), end)
    steps = [line["step"] for line in records(run, "log")]
    assert steps == list(range(1, end + 1))  # each step once, although some were done twice
