"""Lines that know a medium by name, outside the rooms that may: fewer with time, never more."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import luoxia

SOURCE = Path(luoxia.__file__).parent
MAY = ("media", "tasks", "formats", "interchange", "registry.py")
"""Folders and files of the package that may name a medium."""
MEDIA = {"image", "picture", "audio", "sound", "video", "pixel"}
LITERALS = MEDIA | {f"{word}s" for word in MEDIA} | {"text"}
EXCEPTED = {"PixelShuffle", "pixel_shuffle", "PixelUnshuffle", "pixel_unshuffle", "TextColumn"}
CEILING = 10
"""Lines that name a medium today. The house allows ten; lower this whenever it falls."""


def words(identifier: str) -> list[str]:
    """``imageGrids_of`` → image, grids, of."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", identifier)
    return [part.lower() for part in parts]


def names_a_medium(token: tokenize.TokenInfo) -> bool:
    """Whether an identifier or a whole string literal is, or contains as a word, the name of a medium."""
    if token.type == tokenize.STRING:
        return token.string.strip("rbfuRBFU").strip("\"'").lower() in LITERALS
    if token.type != tokenize.NAME or keyword.iskeyword(token.string) or token.string in EXCEPTED:
        return False
    singular = {word.removesuffix("s") for word in words(token.string)}
    return bool(singular & MEDIA) or ("Text" in token.string and token.string[:1].isupper())


def lines_of(file: Path) -> Iterator[str]:
    """The lines of a file that name a medium, as PATH:NUMBER: LINE."""
    tokens = tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline)
    found = {token.start[0]: token.line.strip() for token in tokens if names_a_medium(token)}
    for number, line in sorted(found.items()):
        yield f"{file.relative_to(SOURCE)}:{number}: {line}"


def test_few_lines_name_a_medium() -> None:
    files = [file for file in SOURCE.rglob("*.py") if file.relative_to(SOURCE).parts[0] not in MAY]
    found = [line for file in sorted(files) for line in lines_of(file)]
    print("\n".join(found))
    assert len(found) <= CEILING, f"{len(found)} lines name a medium, {CEILING} may:\n" + "\n".join(
        found[-40:]
    )


def test_the_count_sees_what_it_should(tmp_path: Path) -> None:
    source = 'class TextThing: ...\nimages = 1\nx = "text"\nnn.PixelShuffle(2)\ncontext = "a text"\nreadImageFile()\n'
    (tmp_path / "a.py").write_text(source)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    assert sorted({token.start[0] for token in tokens if names_a_medium(token)}) == [1, 2, 3, 6]
