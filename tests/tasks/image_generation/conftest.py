"""Two tiny trained runs, one with classes and one without."""

from pathlib import Path

import pytest

import luoxia

TINY = {"steps": 30, "width": 4, "latent": 8, "extractor": "none", "size": 8, "data": None, "quiet": True}


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "plain"
    return luoxia.train("gan", out=str(path), **TINY).path


@pytest.fixture(scope="session")
def classy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "classy"
    return luoxia.train("dcgan", condition="concat", out=str(path), **TINY).path
