"""Which files are samples, and which class each belongs to."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from luoxia.data.convert import Unusable
from luoxia.data.files import METADATA, Files, Skipped
from luoxia.errors import LuoxiaError, UsageError

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

    layout: str  # "images", "class folders" or "metadata.csv"
    items: list[Item]
    skipped: list[Skipped] = field(default_factory=list)


def list_items(files: Files) -> Listing:
    """Decide what the samples of ``files`` are.

    A single folder that holds everything is looked through. Then, if there is a ``metadata.csv``, it names
    the samples, and its ``label`` column, if any, the classes. Otherwise, if there are at least two folders
    with images and no image outside them, the folders are the classes. Otherwise the samples are all images,
    without labels.

    Raises:
        UsageError: the folders are splits such as ``train`` and ``test``, or metadata.csv has no
            ``file_name``.
        LuoxiaError: there is no image, metadata.csv cannot be read, or none of its rows can be used.
    """
    if not files.images:
        raise LuoxiaError(_no_images(files))
    root = _common_folder([*files.images, *files.metadata])
    if root + METADATA in files.metadata:
        return _from_metadata(files, root)
    tops = {name: name[len(root) :].split("/")[0] for name in files.images if "/" in name[len(root) :]}
    folders = sorted(set(tops.values()))
    if len(tops) < len(files.images) or len(folders) < 2:
        return Listing("images", [Item(name) for name in files.images])
    if SPLITS.issuperset(folder.lower() for folder in folders):
        raise UsageError(f"{files.path} holds the splits {_series(folders)}: give one of them as the data")
    return Listing("class folders", [Item(name, label=tops[name]) for name in files.images])


def _no_images(files: Files) -> str:
    if files.skipped:
        first = files.skipped[0]
        return f"{files.path} has no image within reach ({first.name} {first.reason}): check its permissions"
    if files.ignored:
        return f"{files.path} has no image among its {files.ignored:,} files: give a {files.kind} of images"
    return f"{files.path} is empty: give a {files.kind} of images"


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


def _from_metadata(files: Files, root: str) -> Listing:
    rows = _rows(files, root + METADATA)
    labelled = any("label" in row for row in rows)
    known, items, skipped = set(files.images), dict[str, Item](), list[Skipped]()
    for number, row in enumerate(rows, 2):  # the first line is the header
        name = root + (row["file_name"] or "").removeprefix("./")
        label = (row.get("label") or "").strip() or None
        if name not in known:
            skipped.append(Skipped(name, f"named in {METADATA}, row {number}, but not there as an image"))
        elif name in items:
            skipped.append(Skipped(name, f"named again in {METADATA}, row {number}"))
        elif labelled and label is None:
            skipped.append(Skipped(name, f"without a label in {METADATA}, row {number}"))
        else:
            items[name] = Item(name, label, row.get("text"))
    if not items:
        raise LuoxiaError(
            f"none of the {len(rows):,} rows of {root}{METADATA} in {files.path} can be used (the first:"
            f" {skipped[0].name} is {skipped[0].reason}): correct its column file_name"
            if rows
            else f"{root}{METADATA} in {files.path} has no rows: fill it in, or remove it"
        )
    mentioned = items.keys() | {skip.name for skip in skipped}
    skipped += [Skipped(name, f"not named in {METADATA}") for name in files.images if name not in mentioned]
    return Listing(METADATA, [items[name] for name in sorted(items)], skipped)


def _rows(files: Files, name: str) -> list[Mapping[str, str | None]]:
    where = f"{name} in {files.path}"
    try:
        reader = csv.DictReader(io.StringIO(files.read(name).decode("utf-8-sig"), newline=""), strict=True)
        rows = list[Mapping[str, str | None]](reader)
    except (Unusable, UnicodeDecodeError, csv.Error) as error:
        raise LuoxiaError(f"{where} cannot be read as UTF-8 CSV ({error}): save it again as such") from error
    if "file_name" not in (reader.fieldnames or ()):
        raise UsageError(f"{where} has no column file_name: name the column with the images' names so")
    return rows
