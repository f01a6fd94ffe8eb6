"""The call behind ``luoxia inspect``: the labels of files, and what a run or a model folder is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, nearby
from luoxia.formats import sidecar
from luoxia.formats.registry import checked_label
from luoxia.media.ours import made_on_disk
from luoxia.provenance.label import InvalidLabelError
from luoxia.verbs.inspect_folders import is_model, is_run, of_model, of_run
from luoxia.verbs.inspection import Inspected, Inspection

SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What systems leave in folders."""


def inspect(path: str | Path, /) -> Inspection:
    """Read the label of a file, or of every file in a folder; or say what a run or a model folder is.

    Labels are checked against the content of their files, and the files of checkpoints against their manifests. Links
    are not followed. ``UsageError`` where nothing lies at ``path``.
    """
    place = expanded(path)
    if not os.path.lexists(place):
        raise UsageError(f"there is nothing at {path}{nearby(place)}")
    if not place.is_dir():
        return Inspection(place, [_inspected(place, place.name)])
    if is_run(place):
        facts, items = of_run(place)
    elif is_model(place):
        facts, items = of_model(place)
    else:
        facts, items = {}, sorted(_walk(place), key=lambda item: item.file)
    return Inspection(place, items, facts)


def _inspected(path: Path, name: str) -> Inspected:
    if path.is_symlink():
        return Inspected(name, "passed over", problem="a link, which is not followed")
    try:
        label = checked_label(path)
    except InvalidLabelError as error:
        return Inspected(name, "invalid", problem=_without(path, error))
    except LuoxiaError as error:
        return Inspected(name, "unreadable", problem=_without(path, error))
    return Inspected(name, "no label" if label is None else "labeled", label)


def _without(path: Path, error: LuoxiaError) -> str:
    return str(error).removeprefix(str(path)).lstrip(": ")


def _walk(folder: Path) -> Iterator[Inspected]:
    """Every file below a folder; runs and models in it are named, and not entered."""
    failed: list[OSError] = []
    for place, subfolders, names in os.walk(folder, onerror=failed.append):
        here = Path(place)
        shown = here.relative_to(folder)
        if here != folder and made_on_disk(here, names) is not None:
            subfolders.clear()
            problem = f"a folder of Luoxia's own: luoxia inspect {here}"
            yield Inspected(f"{shown}/", "passed over", problem=problem)
            continue
        for name in subfolders:
            if (here / name).is_symlink():
                yield _inspected(here / name, str(shown / name))
        for name in names:
            if name not in SYSTEM and not _labels_another(here / name):
                yield _inspected(here / name, str(shown / name))
    for error in failed:
        name = os.path.relpath(error.filename, folder)
        yield Inspected(name, "unreadable", problem=f"cannot be listed: {error.strerror}")


def _labels_another(path: Path) -> bool:
    """Whether a file is the label of one that is there, and is inspected with it."""
    own = path.name.removesuffix(sidecar.SUFFIX)
    return own != path.name and path.with_name(own).is_file() and not path.is_symlink()
