"""A codec that has learned, once for all tests."""

import pytest
from rectangles import SETTINGS, rectangles, write

import luoxia


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "pictures", rectangles(120))


@pytest.fixture(scope="package")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "codec"
    every = {"log_every": 20, "sample_every": 60, "score_every": 60}
    return luoxia.train("image-codec", data=folder, out=out, steps=120, **every, **SETTINGS)


@pytest.fixture(scope="package")
def codec(run):
    return luoxia.load(run, device="cpu")
