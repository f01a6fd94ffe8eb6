"""No medium imports another, no task another, and nothing they share imports one of them: for all in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grimp
import pytest

from luoxia.registry import MEDIA, TASKS

DOOR = "luoxia.tasks.parts"
"""What ``luoxia.recipes`` shows of every task, for recipes of one's own."""


@pytest.fixture(scope="module")
def graph() -> Any:
    return grimp.build_graph("luoxia", exclude_type_checking_imports=True, cache_dir=None)


def packages(table: Mapping[str, str]) -> list[str]:
    """The folders of a table of the registry."""
    return [place.partition(":")[0].rpartition(".")[0] for place in table.values()]


@pytest.mark.parametrize("table", [MEDIA, TASKS], ids=["media", "tasks"])
def test_none_imports_another(graph: Any, table: Mapping[str, str]) -> None:
    names = packages(table)
    pairs = [(one, other) for one in names for other in names if one != other]
    chains = [graph.find_shortest_chain(*pair, as_packages=True) for pair in pairs]
    assert [chain for chain in chains if chain] == []


@pytest.mark.parametrize("table", [MEDIA, TASKS], ids=["media", "tasks"])
def test_what_is_shared_imports_none(graph: Any, table: Mapping[str, str]) -> None:
    names = packages(table)
    house = names[0].rpartition(".")[0]
    own = set().union(*({name} | graph.find_descendants(name) for name in names))
    shared = graph.find_descendants(house) - own - {DOOR}
    pairs = [(one, far) for one in sorted(shared) for far in graph.find_modules_directly_imported_by(one)]
    assert len(pairs) > 10
    assert [(one, far) for one, far in pairs if far in own] == []
