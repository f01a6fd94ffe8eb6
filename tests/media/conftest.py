"""A cache of the test's own, and a folder of images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pictures import encode, noise, write


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LUOXIA_CACHE", str(folder))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder with ``count`` noise images a subfolder."""

    def make(*folders: str, count: int = 3, size: tuple[int, int] = (20, 20)) -> Path:
        for number, folder in enumerate(folders):
            for index in range(count):
                image = noise(*size, seed=100 * number + index)
                write(tmp_path / "photos" / folder / f"{index}.png", encode(image))
        return tmp_path / "photos"

    return make
