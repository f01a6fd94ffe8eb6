"""Dotted names of the package in the docs lead somewhere."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

DOCS = Path(__file__).parents[2] / "docs"
NAMED = re.compile(r"`(luoxia(?:\.[a-z_]\w*)*\.\w+)[`(]")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_names_in_the_docs_exist(page: Path) -> None:
    if page.name == "lab-book.md":  # a diary: what had a name on its day
        return
    for name in NAMED.findall(page.read_text(encoding="utf-8")):
        resolve_name(name)
