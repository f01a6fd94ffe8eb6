"""A cache of the tests' own, so that none reads or fills a person's; processes that share the cores."""

import os
from collections.abc import Iterator

import pytest

# before torch is imported: threads of its own for every core would wait for those of the other workers
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUOXIA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
