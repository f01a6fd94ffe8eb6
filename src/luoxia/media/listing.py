"""Which files are samples, and which class each belongs to."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import inner, many, printable, same
from luoxia.core.skips import Skipped
from luoxia.media.files import Files
from luoxia.media.kinds import SPREADSHEETS
from luoxia.media.labels import NAME, Row, read_labels, read_rows

SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev"})


@dataclass(frozen=True)
class Item:
    """One sample: its name within the source, its class and its text, where it has them."""

    name: str
    label: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class Listing:
    """The samples of a source, and what was left out."""

    layout: (
        str  # what the samples are ("images"), "class folders", or the name of the file that has the labels
    )
    items: list[Item]
    skipped: list[Skipped] = field(default_factory=list)


def list_items(files: Files) -> Listing:
    """Decide what the samples of ``files`` are.

    A single folder that holds everything is looked through. Then, if there is a file of labels such as
    ``metadata.csv``, it names the samples and their classes. Otherwise, if there are at least two folders
    with samples and none outside them, the folders are the classes. Otherwise the samples have no labels.

    Raises:
        UsageError: the folders are splits such as ``train`` and ``test``, or the file of labels is of a kind that is
            not read, or there are two.
        LuoxiaError: there is no sample, the file of labels cannot be read, or none of its rows can be used.
    """
    if not files.samples:
        raise LuoxiaError(_no_samples(files))
    root, known = _tables(files)
    plain = f"{files.kinds.sample}s"
    if len(known) > 1:
        raise UsageError(f"{files.path} holds {_series(known)}, which may disagree: keep one of them")
    if known:
        listing = _from_table(files, root, known[0])
        if listing is not None:
            return listing
    elif files.labels:
        _note_elsewhere(files, root)
    tops = {name: name[len(root) :].split("/")[0] for name in files.samples if "/" in name[len(root) :]}
    folders = sorted({same(top) for top in tops.values()})
    if known or len(folders) < 2:
        return Listing(plain, [Item(name) for name in files.samples])
    if stray := next((name for name in files.samples if name not in tops), None):
        files.notes.append(
            f"its {len(folders):,} folders are no classes, for there are {plain} outside them, such as {stray}: move"
            " these into a folder of their class, or away"
        )
        return Listing(plain, [Item(name) for name in files.samples])
    if SPLITS.issuperset(folder.lower() for folder in folders):
        raise UsageError(f"{files.path} holds the splits {_series(folders)}: give one of them as the data")
    return Listing("class folders", [Item(name, label=same(tops[name])) for name in files.samples])


def named_rows(files: Files) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(a sample's name, cells by column) of each row of ``metadata.csv``, .tsv or .jsonl that names a sample there.

    Several rows may name one sample. Raises what ``list_items`` does for a table that cannot be read.
    """
    root, known = _tables(files)
    if len(known) != 1 or PurePosixPath(known[0]).name.lower() == "dataset.json":
        return
    names = _Names(files, root)
    for _, row in read_rows(files, known[0]):
        wanted = row.get(NAME) if isinstance(row, Mapping) else None
        if isinstance(wanted, str) and wanted.strip():
            name, problem = names.find(wanted.strip())
            if problem is None:
                yield name, row


def _tables(files: Files) -> tuple[str, list[str]]:
    """(the folder that holds everything, the files of labels that lie in it)."""
    root = _common_folder([*files.samples, *files.labels])
    return root, [name for name in files.labels if "/" not in name[len(root) :]]


def _note_elsewhere(files: Files, root: str) -> None:
    files.notes.append(
        f"{files.labels[0]} is not read, for there are {files.kinds.sample}s outside its folder: move it to"
        f" {files.path}/{root}, or give its folder as the data"
    )


def _no_samples(files: Files) -> str:
    others, sample = files.others.total(), files.kinds.sample
    if files.skipped:
        first = files.skipped[0]
        return (
            f"{files.path} has no {sample} within reach ({first.name} {first.reason}): check its permissions"
        )
    if files.unread:
        first = files.unread[0]
        return f"{files.path} has no {sample} that can be used; {first.name}: {first.reason}"
    if files.others.keys() & SPREADSHEETS:
        return f"{files.path} has no {sample}, but a spreadsheet: save it as CSV"
    if others:
        return (
            f"{files.path} has no {sample} among its {many(others, 'file')}: give a {files.kind} of {sample}s"
        )
    return f"{files.path} is empty: give a {files.kind} of {sample}s"


def _series(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _common_folder(names: Iterable[str]) -> str:
    """Return the longest folder, with its ``/``, that all names lie in; "" if there is none."""
    parents = [PurePosixPath(name).parent.parts for name in names]
    first, last = min(parents), max(parents)  # what these two share, all share
    depth = next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    return "".join(f"{part}/" for part in first[: min(depth, len(last))])


class _Names:
    """Finds samples by the names that a table gives them."""

    def __init__(self, files: Files, root: str) -> None:
        self._root, self._one = root, files.kinds.one
        self._zip = files.kind == "zip"
        self._place = Path(os.path.realpath(files.path))
        self._exact = set(files.samples)
        self._by_form = _grouped(files.samples, same)
        self._by_case = _grouped(files.samples, _folded)

    def find(self, asked: str) -> tuple[str, str | None]:
        """(the sample's name, why it is none or None): the exact one, else one that differs in form or case only."""
        rest, outside = inner(asked)
        whole = self._root + rest
        if outside:
            within = self._within(asked, rest)
            if within is None:
                return printable(asked), f"which lies outside the {'zip' if self._zip else 'folder'}"
            whole = within
        if whole in self._exact:
            return whole, None
        for found in (self._by_form.get(same(whole), ()), self._by_case.get(_folded(whole), ())):
            if len(found) == 1:
                return found[0], None
        return whole, f"but not there as {self._one}"

    def _within(self, asked: str, rest: str) -> str | None:
        """The name of an absolute path that lies in the folder after all, or that the zip too calls so."""
        if self._zip:
            return rest if rest in self._exact else None
        real = Path(os.path.realpath(asked))
        if not Path(asked).is_absolute() or not real.is_relative_to(self._place):
            return None
        return inner(real.relative_to(self._place).as_posix(), drives=False)[0]


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(key(name), []).append(name)
    return groups


def _folded(name: str) -> str:
    return same(name).casefold()


def _from_table(files: Files, root: str, table: str) -> Listing | None:
    """What the file of labels says; None where it says that there are no labels."""
    title = PurePosixPath(table).name
    content = read_labels(files, table)
    if title.lower() == "dataset.json" and not content.rows:
        return None
    names, items, skipped = _Names(files, root), dict[str, Item](), list[Skipped]()
    for row in content.rows:
        name, problem = _verdict(row, title, names, items, content.labeled)
        if problem == ANOTHER_CAPTION:
            continue
        if problem is None:
            items[name] = Item(name, row.label, row.text)
        else:
            skipped.append(Skipped(name, problem))
    if not items:
        rows = f"{len(content.rows):,} rows of {table} in {files.path}"
        raise LuoxiaError(
            f"none of the {rows} can be used (the first: {skipped[0].name} is {skipped[0].reason}): correct its"
            f" {NAME}"
            if content.rows
            else f"{table} in {files.path} has no rows: fill it in, or remove it"
        )
    mentioned = items.keys() | {skip.name for skip in skipped}
    skipped += [Skipped(name, f"not named in {title}") for name in files.samples if name not in mentioned]
    return Listing(title, [items[name] for name in sorted(items)], skipped)


ANOTHER_CAPTION = "another caption"
"""What a further row of an image adds to the first, which is not a fault."""


def _verdict(
    row: Row, title: str, names: _Names, items: dict[str, Item], labeled: bool
) -> tuple[str, str | None]:
    """(the sample that a row names, why it cannot be used or None)."""
    where = f"{title}, row {row.number}"
    name, problem = names.find(row.name) if row.name else (f"{title}:{row.number}", None)
    if row.problem:
        return name, f"unusable in {where}: {row.problem}"
    if problem:
        return name, f"named in {where}, {problem}"
    if (first := items.get(name)) is not None:
        same_label = (row.label or first.label) == first.label
        if same_label and (row.caption or (row.text and row.text != first.text)):
            return name, ANOTHER_CAPTION
        return name, f"named again in {where}"
    if labeled and row.label is None:
        return name, f"without a label in {where}"
    return name, None
