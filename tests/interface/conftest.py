"""The command line as a user meets it: in an empty folder."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from luoxia.cli.main import app

Command = Callable[..., Result]
Refusal = Callable[..., str]

TINY = ("width=2", "latent=4", "extractor=none", "size=8", "device=cpu")


def invoke(*words: object) -> Result:
    """Run the command line; a word replaces an earlier one of the same key, so that a test can change common ones."""
    chosen: dict[str, str] = {}
    for place, word in enumerate(map(str, words)):
        key = re.match(r"[a-z_.\d]+=", word)
        chosen[key[0] if key else f"{place}"] = word
    return CliRunner().invoke(app, [*chosen.values()])


def photographs(folder: Path, count: int, size: int = 8) -> Path:
    """Noise with a shape in it, ``count`` RGB images."""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the working one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def luoxia_command() -> Command:
    return invoke


@pytest.fixture
def refused() -> Refusal:
    """Run a command that must fail with a code, and return its one sentence."""

    def check(code: int, *words: object) -> str:
        result = invoke(*words)
        assert result.exit_code == code, (result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        *_, last = result.stderr.splitlines()
        assert last.startswith("luoxia: ")
        assert result.stderr.count("luoxia: ") == 1
        return last.removeprefix("luoxia: ")

    return check


@pytest.fixture
def photos(here: Path) -> Path:
    return photographs(here / "photos", 12)


@pytest.fixture
def photographed() -> Callable[..., Path]:
    """Make a folder of so many photos."""
    return photographs


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 20 steps with two checkpoints; to be read, never changed."""
    folder = tmp_path_factory.mktemp("session")
    photographs(folder / "photos", 40)
    words = (
        f"data={folder / 'photos'}",
        "steps=20",
        "checkpoint_every=10",
        "log_every=5",
        f"out={folder / 'run'}",
    )
    result = invoke("train", "gan", *TINY, *words)
    assert result.exit_code == 0, result.stderr
    return folder / "run"


@pytest.fixture
def run(finished: Path, here: Path) -> Path:
    """A copy of that run, to be damaged or gone on with."""
    import shutil

    return Path(shutil.copytree(finished, here / "run"))


@pytest.fixture
def tiny() -> tuple[str, ...]:
    return TINY


@pytest.fixture
def records() -> Callable[..., list[dict]]:
    def read(run: Path, kind: str) -> list[dict]:
        lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        return [line for line in lines if line["kind"] == kind]

    return read
