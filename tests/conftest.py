"""A cache of the tests' own, so that none reads or fills a person's."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUOXIA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
