"""Colored squares and circles with captions, and a run that learned their mean images."""

import json
import shutil
from pathlib import Path

import pytest

import luoxia
from colored_shapes import SHAPES, drawn, write_shapes

PAINTER = f"{Path(__file__).parent / 'painter.py'}:Painter"


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares and circles with several captions, keywords, a category and a style."""
    return write_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="session")
def classed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a folder a class, without captions."""
    folder = tmp_path_factory.mktemp("classed")
    for number in range(60):
        shape = SHAPES[number % 2]
        (folder / shape).mkdir(exist_ok=True)
        drawn("red", shape, number).save(folder / shape / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def painter(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learned captions and a style."""
    out = tmp_path_factory.mktemp("runs") / "painter"
    return luoxia.train(PAINTER, data=str(shapes), out=str(out), quiet=True, steps=300, extractor="none").path


@pytest.fixture(scope="session")
def raster(painter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, of a recipe that cannot edit."""
    folder = tmp_path_factory.mktemp("raster") / "model"
    shutil.copytree(painter / "model", folder)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["edits"] = False
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def class_painter(classed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learned classes."""
    out = tmp_path_factory.mktemp("runs") / "classes"
    return luoxia.train(PAINTER, data=str(classed), out=str(out), quiet=True, extractor="none").path
