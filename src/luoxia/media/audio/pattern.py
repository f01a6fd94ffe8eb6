"""What file names tell, by a pattern such as ``{label}_{speaker}_*``."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from luoxia.core.errors import UsageError

LABEL = "label"
NUMBERS = 20
"""Numbers in names that may be classes."""
_PART = re.compile(r"\{(\w*)\}|(\*)")


class Pattern:
    """Fields of file names, without their folders and endings.

    >>> Pattern("{label}_{speaker}_*").fields("digits/7_lucas_12.flac")
    {'label': '7', 'speaker': 'lucas'}
    """

    def __init__(self, text: str) -> None:
        """``UsageError`` where the pattern names nothing, or one field twice."""
        self.text = text
        names = [match[1] for match in _PART.finditer(text) if match[2] is None]
        odd = not names or len(set(names)) < len(names) or not all(name.isidentifier() for name in names)
        if odd or set(_PART.sub("", text)) & set("{}"):
            raise UsageError(
                f"pattern={text} must name fields in braces, each once, such as {{label}}_{{speaker}}_*: correct it"
            )
        self.names = tuple(names)
        places, pieces = 0, []
        for match in _PART.finditer(text):
            pieces.append(re.escape(text[places : match.start()]))
            pieces.append(f"(?P<{match[1]}>.+?)" if match[2] is None else ".*?")
            places = match.end()
        self._form = re.compile("".join(pieces) + re.escape(text[places:]), re.DOTALL)

    def fields(self, name: str) -> dict[str, str] | None:
        """What the name of a file tells; None where it does not fit."""
        match = self._form.fullmatch(PurePosixPath(name).stem)
        return None if match is None else match.groupdict()


def suggested(names: list[str]) -> str | None:
    """A pattern for names that all have the same number of parts between ``_`` or ``-``, some of which repeat."""
    stems = [PurePosixPath(name).stem for name in names]
    for sign in "_-":
        parts = [stem.split(sign) for stem in stems]
        width = len(parts[0]) if parts else 0
        if len(stems) < 8 or not 2 <= width <= 4 or any(len(part) != width for part in parts):
            continue
        repeated = [_repeats(set(column), len(stems)) for column in zip(*parts, strict=True)]
        if any(repeated[:-1]) and all(part[-1].isdigit() for part in parts):
            repeated[-1] = False  # the number of a take
        if any(repeated):
            fields = iter([LABEL, "speaker", "style", "kind"])
            return sign.join(f"{{{next(fields)}}}" if again else "*" for again in repeated)
    return None


def _repeats(values: set[str], count: int) -> bool:
    """Whether so few values are classes: many numbers are takes."""
    most = min(NUMBERS, count // 4) if all(value.isdigit() for value in values) else count // 4
    return 1 < len(values) <= most
