"""Runs that Luoxia 0.1.0 made (``make_runs.py``): every later version loads, samples, measures and resumes them."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import luoxia
from compatibility.make_runs import MORE, RECIPES, answers, processor, weights_digest
from luoxia.metrics.score import RENAMED

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(HERE / "runs.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    for record in folder.glob("*/**/*.json"):  # the data lay elsewhere then
        text = record.read_text(encoding="utf-8")
        if "/tmp/runs-of-2026-11/" in text:
            record.write_text(text.replace("/tmp/runs-of-2026-11", folder.as_posix()), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def expected(unpacked: Path) -> Any:
    return json.loads((unpacked / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def same_machine(expected: Any) -> bool:
    return bool(expected["torch"] == torch.__version__ and expected["processor"] == processor())


def assert_same(found: Any, wanted: Any, exact: bool) -> None:
    """Equal on the same kind of processor; elsewhere pixels within 2 of 255, probabilities within 1e-3."""
    if exact:
        assert found == wanted
    elif isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert_same(found[key], wanted[key], exact)
    elif not isinstance(wanted[0], str):  # a text may take another turn at a near tie
        whole = np.asarray(wanted).dtype.kind == "i"
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), atol=2 if whole else 1e-3, rtol=0)


@pytest.mark.parametrize("name", RECIPES)
def test_an_old_run_gives_its_samples(name: str, unpacked: Path, expected: Any) -> None:
    found = answers(name, unpacked / name, unpacked / "data")
    assert_same(found, expected[name]["answers"], same_machine(expected))


@pytest.mark.parametrize("name", RECIPES)
def test_an_old_run_has_its_scores(name: str, unpacked: Path, expected: Any) -> None:
    found = {score.name: score.value for score in luoxia.measure(unpacked / name, quiet=True).scores}
    for score, value in expected[name]["scores"].items():
        assert found[RENAMED.get(score, score)] == pytest.approx(
            value, rel=1e-6 if same_machine(expected) else 0.2, abs=1e-6
        )


@pytest.mark.parametrize("name", RECIPES)
def test_an_old_run_is_resumed_as_it_was(name: str, unpacked: Path, expected: Any) -> None:
    luoxia.resume(unpacked / name, steps=MORE, quiet=True)
    found = answers(name, unpacked / name, unpacked / "data")
    exact = same_machine(expected)
    assert_same(found, expected[name]["resumed"], exact)
    if exact:
        assert weights_digest(unpacked / name) == expected[name]["weights"]
