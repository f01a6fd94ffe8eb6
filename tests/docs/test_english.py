"""Phrases that stop a reader: none in what the package prints, in its docstrings and comments, or in the docs."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import luoxia

SOURCE = Path(luoxia.__file__).parent
ROOT = Path(__file__).parents[2]
PHRASES = re.compile(
    r"\b(heed|anew|says so|has it|is none of|is no (?!longer\b|more\b)[a-z]+|gone on|goes on from|one a line"
    r"|the way back|told)\b"
)
PLAIN = re.compile(r"\b(there|here|it) is no [a-z]+ (of|in|to|for|at|between|so|,|;|\.)|\bthere is no\b")
"""Ordinary English that the list would catch: "where there is no label"."""
PROSE = {tokenize.STRING, tokenize.COMMENT} | {
    getattr(tokenize, name) for name in ("FSTRING_MIDDLE",) if hasattr(tokenize, name)
}


def phrases(text: str) -> list[str]:
    """What of a text is on the list; a line break counts as a space."""
    return [match[0] for match in PHRASES.finditer(PLAIN.sub("", " ".join(text.split())))]


def in_code(file: Path) -> Iterator[str]:
    """Phrases in the strings and comments of a module, as PATH:LINE: PHRASE."""
    for token in tokenize.generate_tokens(io.StringIO(file.read_text("utf-8")).readline):
        if token.type in PROSE:
            for phrase in phrases(re.sub(r"\{[^{}]*\}", "", token.string)):
                yield f"{file.relative_to(ROOT)}:{token.start[0]}: {phrase}"


def in_page(file: Path) -> Iterator[str]:
    """Phrases in the paragraphs of a page, as PATH:LINE: PHRASE."""
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        for phrase in phrases(line):
            yield f"{file.relative_to(ROOT)}:{number}: {phrase}"


def test_the_code_speaks_plainly() -> None:
    found = [line for file in sorted(SOURCE.rglob("*.py")) for line in in_code(file)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs"])
def test_the_docs_speak_plainly(page: str) -> None:
    place = ROOT / page
    files = sorted(place.rglob("*.md")) if place.is_dir() else [place]
    found = [line for file in files for line in in_page(file)]
    assert not found, "\n".join(found)


def test_the_list_sees_what_it_should() -> None:
    assert phrases("it is\n   no run, and says so") == ["is no run", "says so"]
    assert phrases("where there is no label, it is no longer read; there is no more") == []
