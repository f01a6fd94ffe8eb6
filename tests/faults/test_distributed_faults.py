"""Two processes fall ill together: they go back together, and give up together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch.distributed")


def test_roll_back_in_two_processes_ends_with_the_reason(tmp_path: Path) -> None:
    """Each process must find the checkpoint that the main one wrote, though only that one made the folder."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "luoxia",
    ]
    command += ["train", "gan", "lr=1e30", "steps=200", "log_every=5", "batch=8", "width=4", "extractor=none"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [*command, "out=ill"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert "training stopped" in done.stderr, done.stderr[-2000:]
    assert "no usable checkpoint" not in done.stderr
    assert "rolled back" in (tmp_path / "ill" / "metrics.jsonl").read_text()
