"""The examples in docstrings are what Python prints."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import luoxia

SOURCE = Path(luoxia.__file__).parent
MODULES = sorted(
    ".".join(("luoxia", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for file in SOURCE.rglob("*.py")
    if ">>>" in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_its_examples_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert (result.failed, result.attempted > 0 or name == "luoxia") == (0, True)
