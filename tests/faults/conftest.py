"""Small trainings to kill, on a data set of shapes."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # harness.py, which the benchmark shares


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 gray images of 8 × 8, noise and a bright square."""
    images = np.random.default_rng(0).integers(0, 100, (100, 8, 8), dtype=np.uint8)
    images[:, 2:6, 2:6] += 120
    path = tmp_path_factory.mktemp("data") / "shapes.npz"
    np.savez(path, images=images)
    return path


@pytest.fixture
def small(shapes: Path) -> tuple[str, ...]:
    """Settings of a training that takes milliseconds a step."""
    return (f"data={shapes}", "width=2", "latent=4", "batch=8")


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random moments: others for each test, the same in each run."""
    return random.Random(request.node.name)
