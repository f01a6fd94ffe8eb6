"""Texts that a verb is given: a text itself, or a file of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from luoxia.core.errors import UsageError
from luoxia.tasks.outputs import Word


def resolved(what: str | Path) -> str | Path:
    """A text or a path; a word of the command line becomes one of them."""
    return named_file(what) or str(what) if isinstance(what, Word) else what


def texts_of(what: str | Path, field: str | None) -> list[str]:
    """The text itself, the lines of a file, or a field of its rows; ``UsageError`` where one is empty or unreadable."""
    from luoxia.media.text.asked import texts_in

    return [what] if isinstance(what, str) else texts_in(what, field)


def named_file(what: str) -> Path | None:
    """The file that a word of the command line names, None where it is a text itself.

    ``UsageError`` for a path with nothing to read, and for a word that may be either.
    """
    from luoxia.core import reading
    from luoxia.media.text.files import PLAIN
    from luoxia.media.text.records import RECORDS

    path = Path(what)
    with contextlib.suppress(OSError, ValueError):  # a text may be too long to be asked for as a name
        if path.is_file():
            if path.suffix or path.name != what:
                return path
            raise UsageError(
                f"'{what}' may be a text, and a file here has that name: write ./{what} for the file, "
                f"or '{what} ' with a space for the text"
            )
        if what and path.is_dir():
            raise UsageError(
                f"{what} is a folder: give a file of texts, or '{what} ' with a space for the text"
            )
    if len(what.split()) == 1 and reading.kind_of(path) in PLAIN | RECORDS:
        raise UsageError(f"there is nothing at {what}: check the path")
    return None
