"""What the folder is comes first: before the keys, and before anything heavy is imported."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import luoxia
from luoxia.core.errors import UsageError
from luoxia.verbs.ask import ask

VERBS = {
    "sample": (), "interpolate": (), "mix": (), "directions": (), "project": ("a.png",), "translate": ("a text",),
    "classify": ("a text",), "embed": ("a text",), "export": (), "measure": (), "finetune": (), "resume": (),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_misspelled_run_is_told_before_a_key(verb: str, here: Path, refused: Callable) -> None:
    assert refused(2, verb, "runs/gpt-7", *VERBS[verb], "prompt=x", "nonsense=1").startswith(
        ("runs/gpt-7 is not there", "run runs/gpt-7 is not there")
    )
    (here / "empty").mkdir()
    assert refused(2, verb, "empty", *VERBS[verb], "nonsense=1").startswith("empty is n")


@pytest.mark.parametrize(
    "call",
    [
        luoxia.export, luoxia.finetune, luoxia.resume,
        *(partial(ask, verb) for verb in ("sample", "interpolate", "mix", "directions")),
    ],
)  # fmt: skip
def test_in_python_too(call: Callable, here: Path) -> None:
    with pytest.raises(UsageError, match="runs/gpt-7 is not there"):
        call("runs/gpt-7", nonsense=1)


def test_torch_is_not_imported_for_that(here: Path) -> None:
    program = (
        "import sys\nfrom luoxia.cli.main import app\n"
        "for verb in ('sample', 'resume', 'finetune', 'measure'):\n"
        "    assert app([verb, 'runs/gpt-7', 'x=1'], standalone_mode=False) == 2\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("runs/gpt-7 is not there") == 4
