"""Classes, asked for by name or number."""

from __future__ import annotations

from collections.abc import Sequence

from luoxia.core.errors import UsageError
from luoxia.core.sentences import nearest


def class_asked(label: str | int | None, classes: Sequence[str]) -> str | int | None:
    """The class that is asked for: "none" is the class of that name where there is one, and else no class."""
    return None if label in ("none", "None") and label not in classes else label


def class_number(label: str | int, classes: Sequence[str]) -> int:
    """The number of a class, by its name or, where no class has a number as its name, by that."""
    name = str(label)
    if name in classes:
        return classes.index(name)
    numbers = all(known.isdecimal() for known in classes)  # then a number is a name, and no place
    if name.isdecimal() and int(name) < len(classes) and not numbers:
        return int(name)
    few = f"; classes are {', '.join(classes)}" if len(classes) <= 12 else ""
    hint = few or nearest(name, classes) or f"; classes are {', '.join(classes[:12])} …"
    raise UsageError(f"label={name} is not a class of this model{hint}")
