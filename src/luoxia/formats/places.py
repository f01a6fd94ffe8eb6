"""Where files may be written: never over what is not ours, never over an input, never outside the folder asked for."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.formats import sidecar
from luoxia.formats.registry import is_ours

RUN = frozenset(
    (
        "run.json", "metrics.jsonl", "report.html", "skipped.txt", "sweep.json", ".lock",
        "model", "checkpoints", "stages", "samples", "scores", "tensorboard", "wandb", "mlruns",
    )
)  # fmt: skip
"""What a run's folder holds of its own, beside what is ``generated``."""
NOT_OURS = "has no label of ours, or was changed since; overwrite=true replaces only what Luoxia made"


def form_of(out: Path, asked: str) -> str:
    """The ending that decides the format, "" for a folder, which may have a dot in its name: v1.2/."""
    return "" if out.is_dir() or asked.endswith(("/", os.sep)) else out.suffix.lower()


def claim(
    asked: str,
    wanted: tuple[str, ...] | None,
    overwrite: bool,
    inputs: Iterable[Path | None] = (),
    learned: Iterable[Path] = (),
) -> Path:
    """The path ``asked`` for as out=, if something may be written there; said before work starts.

    Args:
        asked: a file, or a folder where ``wanted`` has "".
        wanted: the endings that it may have; None: any file.
        overwrite: whether files that carry our label may be replaced.
        inputs: what is read, which must be neither at out=, nor around it, nor inside.
        learned: what the model was trained on, of which nothing may be replaced.

    Raises:
        UsageError: another ending, an input, a run's own file, or files that are there already: without ``overwrite``
            any, with it those that are not ours.
        LuoxiaError: the system refuses.
    """
    out = Path(asked)
    _check_reachable(out, asked)
    kind = form_of(out, asked)
    if wanted is None and (out.is_dir() or asked.endswith(("/", os.sep))):
        raise UsageError(f"out={asked} is a folder: name a file")
    if wanted is not None and kind not in wanted:
        names = [f"FILE{ending}" if ending else "FOLDER/" for ending in wanted]
        must = " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        raise UsageError(f"out={asked}: must be {must}")
    _check_apart(out, asked, [path for path in inputs if path is not None])
    _check_no_run(out, asked)
    _check_learned(out, asked, learned)
    if out.is_dir():
        _check_folder(out, asked, overwrite)
    else:
        check_free(out, overwrite)
    return out


def check_free(out: Path, overwrite: bool) -> None:
    """``UsageError`` if a file is at ``out`` (with ``overwrite``: one that is not ours), or where its label goes."""
    beside = sidecar.beside(out)
    if os.path.lexists(beside) and not is_ours(beside):
        raise UsageError(f"out={out} has its label beside it, and {beside} is not ours: choose another out=")
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise UsageError(f"out={out} already exists; choose another path or pass overwrite=true")
    if not is_ours(out):
        raise UsageError(f"out={out} {NOT_OURS}: choose another, or remove it")


def _check_folder(out: Path, asked: str, overwrite: bool) -> None:
    try:
        if not any(out.iterdir()):
            return
        if not overwrite:
            raise UsageError(f"out={asked} already exists; choose another path or pass overwrite=true")
        foreign = next((path for path in _files(out) if not is_ours(path)), None)
    except OSError as error:
        raise LuoxiaError(f"cannot read the folder out={asked}: {error.strerror}") from error
    if foreign is not None:
        raise UsageError(f"out={asked} holds {foreign.relative_to(out)}, which {NOT_OURS}: choose another")


def _files(folder: Path) -> Iterator[Path]:
    """All files and links below; what a system leaves in folders (.DS_Store) is neither read nor touched."""

    def refuse(error: OSError) -> None:
        raise error

    for place, subfolders, names in os.walk(folder, onerror=refuse):
        links = [name for name in subfolders if (Path(place) / name).is_symlink()]
        for name in [*names, *links]:
            if name not in (".DS_Store", "Thumbs.db", "desktop.ini"):
                yield Path(place) / name


def _check_reachable(out: Path, asked: str) -> None:
    """Say what the system would refuse only after the work."""
    try:
        if out.is_symlink() and not out.exists():
            raise UsageError(
                f"out={asked} is a link to what is not there: remove the link, or choose another"
            )
        out.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # a name too long, a loop of links; a NUL
        raise LuoxiaError(f"cannot write {asked!r}: {getattr(error, 'strerror', None) or error}") from error
    above = next(folder for folder in (out, *out.absolute().parents) if os.path.lexists(folder))
    if above != out and not above.is_dir():
        raise LuoxiaError(f"cannot write {asked}: {above.name} is a file or a broken link, and no folder")
    folder = above if above.is_dir() else above.absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise LuoxiaError(f"cannot write {asked}: you may not write to {folder}; choose another out=")


def _check_apart(out: Path, asked: str, inputs: list[Path]) -> None:
    mine = out.resolve()
    for path in inputs:
        theirs = path.resolve()
        if mine == theirs or (out.exists() and path.exists() and out.samefile(path)):
            raise UsageError(f"out={asked} is what is read: choose another")
        if theirs in mine.parents:
            raise UsageError(f"out={asked} lies in {path}, which is read: choose a place outside")
        if mine in theirs.parents:
            raise UsageError(f"out={asked} holds {path}, which is read: choose another")


def _check_learned(out: Path, asked: str, learned: Iterable[Path]) -> None:
    mine = out.resolve()
    for path in learned:
        theirs = path.resolve()
        inside = theirs in mine.parents and os.path.lexists(out)
        if path.exists() and (mine == theirs or mine in theirs.parents or inside):
            raise UsageError(f"out={asked} holds what the run has learned from, {path}: choose another")


def _check_no_run(out: Path, asked: str) -> None:
    """A run's own files are written by its training alone."""
    mine = out.resolve()
    for folder in (mine, *mine.parents):
        if (folder / "run.json").is_file():
            below = mine.relative_to(folder).parts
            if not below or (below[0] in RUN and below[1:2] != ("generated",)):
                raise UsageError(
                    f"out={asked} belongs to the run {folder.name}: choose a place outside, or in its folder generated"
                )


class Named:
    """Files named after inputs, below one folder: none outside it, none through a link, none over another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._taken: set[str] = set()

    def place(self, target: str) -> Path | str:
        """Where to write what is called ``target`` (with / between folders), or why nowhere.

        Where a file system without cases or with another Unicode form would take two names for one, the second gets a
        number: a-2.png.
        """
        pure = PurePosixPath(target)
        for number in itertools.count(1):
            name = pure if number == 1 else pure.with_stem(f"{pure.stem}-{number}")
            key = unicodedata.normalize("NFC", str(name)).casefold()
            if key not in self._taken:
                break
        path = self.folder / name
        try:
            if ".." in pure.parts or not path.resolve().is_relative_to(self.folder) or path == self.folder:
                return "its name leads out of out="
            if path.resolve() != path:
                return "its name leads through a link in out="
            if not next(above for above in path.parents if os.path.lexists(above)).is_dir() or path.is_dir():
                return "its name is that of a file and of a folder"
            path.lstat()
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            return f"cannot be written under its name: {getattr(error, 'strerror', None) or error}"
        self._taken.add(key)
        return path
