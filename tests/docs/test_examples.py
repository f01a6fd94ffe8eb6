"""The example of the page "A recipe of your own" trains, samples, and stands on the page as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "my_recipe.py"


def luoxia(folder, *words):
    environment = {
        **os.environ,
        "LUOXIA_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    done = subprocess.run(
        [sys.executable, "-m", "luoxia", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_it_trains_and_samples(tmp_path):
    few = ("steps=3", "batch=8", "log_every=1", "extractor=none", "width=8", "kernel=3", "out=mine")
    luoxia(tmp_path, "train", f"{EXAMPLE}:MyRecipe", *few)
    luoxia(tmp_path, "sample", "mine", "n=4", "out=grid.png", f"use={EXAMPLE}")
    assert (tmp_path / "mine" / "report.html").stat().st_size > 1000
    assert (tmp_path / "grid.png").stat().st_size > 100


def test_bad_values_are_refused():
    from luoxia.core.errors import UsageError
    from luoxia.tasks.menu import find

    recipe = find(f"{EXAMPLE}:MyRecipe")
    with pytest.raises(UsageError, match="kernel"):
        recipe.from_settings({"kernel": "2"})
    with pytest.raises(UsageError, match="loss"):
        recipe.from_settings({"loss": "nonsense"})


def test_the_page_shows_the_file():
    markdown = pytest.importorskip("markdown")
    page = (ROOT / "docs" / "own-recipe.md").read_text(encoding="utf-8")
    snippets = {"pymdownx.snippets": {"base_path": [str(ROOT / "docs")], "check_paths": True}}
    html = markdown.markdown(
        page, extensions=["pymdownx.superfences", "pymdownx.snippets"], extension_configs=snippets
    )
    assert _text(EXAMPLE.read_text(encoding="utf-8")) in _text(_unmarked(html))


def _unmarked(html):
    import html as entities
    import re

    return entities.unescape(re.sub(r"<[^>]+>", "", html))


def _text(code):
    return " ".join(code.split())
