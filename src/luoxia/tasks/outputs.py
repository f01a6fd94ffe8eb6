"""Where a verb may write what a model makes, and what a word of the command line names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from luoxia.core.errors import UsageError

if TYPE_CHECKING:
    from luoxia.provenance.label import Label
    from luoxia.tasks.record import ModelRecord


class Word(str):
    """A word of the command line, which may be a text or name a file."""


class _Labeled:
    """What is generated and goes into no file, with the label that it would carry in one."""

    make_label: Callable[[], Label]

    @property
    def label(self) -> Label:
        """Made when it is asked for, since that takes reading all weights."""
        return self.make_label()


class Text(_Labeled, str):
    """A generated text."""

    def __new__(cls, text: str, make_label: Callable[[], Label]) -> Self:
        """``text``, which takes its label along."""
        labeled = super().__new__(cls, text)
        labeled.make_label = make_label
        return labeled


class Texts(_Labeled, list[str]):
    """Several generated texts."""

    def __init__(self, texts: Iterable[str], make_label: Callable[[], Label]) -> None:
        super().__init__(texts)
        self.make_label = make_label


class Pieces(_Labeled, Iterator[str]):
    """A generated text, piece by piece as it is written."""

    def __init__(self, pieces: Iterable[str], make_label: Callable[[], Label]) -> None:
        self._pieces = iter(pieces)
        self.make_label = make_label

    def __next__(self) -> str:
        return next(self._pieces)


@overload
def claimed(
    record: ModelRecord, out: str, wanted: tuple[str, ...] | None, overwrite: bool, *inputs: Path | None
) -> Path: ...
@overload
def claimed(
    record: ModelRecord, out: None, wanted: tuple[str, ...] | None, overwrite: bool, *inputs: Path | None
) -> None: ...
def claimed(
    record: ModelRecord,
    out: str | None,
    wanted: tuple[str, ...] | None,
    overwrite: bool,
    *inputs: Path | None,
) -> Path | None:
    """Where a verb that asks a model may write, None without ``out``; see ``luoxia.formats.places.claim``."""
    from luoxia.formats.places import claim

    if out is None:
        return None
    config = {} if record.run is None else record.run.manifest.get("config", {})
    learned = [Path(config[key]) for key in ("data", "against") if isinstance(config.get(key), str)]
    return claim(out, wanted, overwrite, inputs, learned)


def numbered(record: ModelRecord, suffix: str) -> Path:
    """RUN/generated/001, 002 …: the first number that no file has, whatever its suffix."""
    from luoxia.runs.run import refuse_link

    folder, number = record.path / "generated", 1
    refuse_link(folder)
    with contextlib.suppress(OSError):
        taken = {path.name.partition(".")[0] for path in folder.iterdir()}
        while f"{number:03d}" in taken:
            number += 1
    return folder / f"{number:03d}{suffix}"


def input_of(verb: str, text: str | None, file: str | Path | None) -> str | Path:
    """One of the two that a call in Python gives: a text, or a path."""
    if (text is None) == (file is None):
        raise UsageError(f"{verb} needs text= or file=, one of them")
    return text if text is not None else Path(str(file))


def new_place(record: ModelRecord, out: str | None, form: str) -> Path:
    """Where an export goes: ``out``, of the ``form`` FOLDER or FILE.suffix, at which nothing is yet."""
    if out is None:
        raise UsageError(f"export needs out=: luoxia export {record.path} out={form}")
    place = Path(out)
    suffix = Path(form).suffix
    if suffix and place.suffix.lower() != suffix:
        raise UsageError(f"out={out}: must be {form}")
    if place.exists() or place.is_symlink():
        raise UsageError(f"out={out} already exists; choose another path")
    return place
