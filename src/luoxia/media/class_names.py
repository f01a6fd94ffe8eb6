"""TODO: say what this is."""

from collections.abc import Sequence


def class_names(labels: Sequence[str | None]) -> list[str]:
    """Return the sorted distinct names, by value where all are numbers; [] when unlabeled."""
    names = {label for label in labels if label is not None}
    numeric = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=lambda name: (int(name) if numeric else 0, name))
