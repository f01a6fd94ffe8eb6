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
    settings = SETTINGS | {"steps": 200, "lr": 6e-3, "width": 16, "log_every": 40}
    return luoxia.train("image-codec", data=folder, out=out, sample_every=100, score_every=100, **settings)


@pytest.fixture(scope="package")
def codec(run):
    return luoxia.load(run, device="cpu")
