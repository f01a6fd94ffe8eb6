"""From a path to documents: plain text, or rows with named fields; labeled where folders or a field say so."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from luoxia.core.cells import MissingError, label_of
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded
from luoxia.core.reading import ALLOWED, EncodedFile, Skips, blocks
from luoxia.core.skips import Unusable
from luoxia.media.text.chat import FIELDS, ChatTemplate, messages_of
from luoxia.media.text.chat import PLAIN as PLAIN_CHAT
from luoxia.media.text.files import class_folders, open_files
from luoxia.media.text.json_rows import JSON, Record
from luoxia.media.text.records import RECORDS, as_text, known_fields, records, require

DEFAULT_TARGET = "text"
MOST_SPACE = 2**20  # characters that are kept of the space before a text
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Document:
    """One document, or a piece of one: long plain files come in pieces, and ``ends`` marks the last."""

    name: str  # "poems.jsonl:17"
    text: str
    fields: tuple[tuple[str, str], ...] = ()  # the condition, in the order in which it was asked for
    label: str | None = None
    ends: bool = True


@dataclass
class TextSource:
    """Documents to iterate over any number of times, none of which need fit in memory at once."""

    title: str  # what a person reads
    fingerprint: str  # hex digest of the content and of how it is read
    condition: tuple[str, ...] = ()
    labeled: bool = False
    chat: ChatTemplate | None = None  # how chats are written, where the documents are chats
    skips: Skips = field(default_factory=Skips)  # by the latest whole pass; before one: unusable files
    allowed: float = ALLOWED  # share of the rows that may be broken

    def pieces(self) -> Iterator[Document]:
        """Yield all documents, long plain files in pieces.

        Raises:
            LuoxiaError: at the end, when not one document could be used, or more rows are broken than ``allowed``.
        """
        skips, some = self._unusable.copy(), False
        for document in self._read(skips):
            some = True
            yield document
        self.skips = skips
        skips.check(self.title, self.allowed)
        if not some:
            reason = f" ({skips.listed[0].name}: {skips.listed[0].reason})" if skips.listed else ""
            raise LuoxiaError(f"{self.title} has no text that can be used{reason}: give other files")

    def documents(self) -> Iterator[Document]:
        """Yield all documents whole."""
        parts: list[str] = []
        for piece in self.pieces():
            parts.append(piece.text)
            if piece.ends:
                yield replace(piece, text="".join(parts))
                parts = []

    def texts(self) -> Iterator[str]:
        """Yield the text of all pieces, and the lines that state their conditions, to train a tokenizer on."""
        for piece in self.pieces():
            yield from condition_lines(piece.fields)
            if piece.text:
                yield piece.text

    def __post_init__(self) -> None:
        self._unusable = self.skips.copy()

    def _read(self, skips: Skips) -> Iterator[Document]:
        raise NotImplementedError


@dataclass
class _Topics(TextSource):
    """The text that Python itself carries: the help pages of pydoc."""

    topics: dict[str, str] = field(default_factory=dict)

    def _read(self, skips: Skips) -> Iterator[Document]:
        return (Document(name, text) for name, text in sorted(self.topics.items()))


@dataclass
class _Files(TextSource):
    files: Sequence[EncodedFile] = ()
    folders: dict[str, str] = field(default_factory=dict)  # file name → class, where folders are the classes
    target: str = DEFAULT_TARGET
    label: str | None = None  # the field that holds the label

    def _read(self, skips: Skips) -> Iterator[Document]:
        for file in self.files:
            try:
                yield from self._rows(file, skips) if file.kind in RECORDS else self._plain(file, skips)
            except (OSError, Unusable) as error:
                raise LuoxiaError(f"{file.path} changed while it was read ({error}): try again") from error

    def _plain(self, file: EncodedFile, skips: Skips) -> Iterator[Document]:
        label = self.folders.get(file.name)
        waiting, began = "", False  # a text of nothing but space is not a document
        for piece in blocks(file, skips):
            skips.used += piece.count("\n")
            if not began and not piece.strip():
                waiting += piece[: MOST_SPACE - len(waiting)]
                continue
            began = True
            if waiting:
                yield Document(file.name, waiting, label=label, ends=False)
            waiting = piece
        if began:
            skips.used += 1
            yield Document(file.name, waiting, label=label)
        else:
            skips.add(file.name, "empty", "file")

    def _rows(self, file: EncodedFile, skips: Skips) -> Iterator[Document]:
        for number, record in records(file, skips):
            name = f"{file.name}:{number}"
            try:
                document = self._document(name, record, self.folders.get(file.name))
            except ValueError as reason:
                skips.add(name, str(reason), "missing" if isinstance(reason, MissingError) else "broken")
            else:
                skips.used += 1
                yield document

    def _document(self, name: str, record: Record, label: str | None) -> Document:
        text = text_in(record, self.target, self.chat)
        fields = tuple((key, _stated(record, key)) for key in self.condition)
        if self.label is not None:
            label = label_of(as_text(record, self.label))
        return Document(name, text, fields, label)


def read_texts(
    path: PathLike | None = None,
    *,
    condition: Iterable[str] = (),
    target: str | None = None,
    label: str | None = None,
    allow_skipped: float = ALLOWED,
    template: ChatTemplate = PLAIN_CHAT,
) -> TextSource:
    """Open the text at ``path``; every file is read once, for its digest and its encoding.

    Args:
        path: a file or a folder, looked through, of ``.txt`` and ``.md`` (each file one document), ``.json``,
            ``.jsonl``, ``.csv`` and ``.tsv`` (each row one document; the first row of a table names its columns),
            each perhaps packed as ``.gz``. A single file with another ending is read as plain text. None for the
            help pages that Python itself carries.
        condition: the fields that stand before the text, such as ``("form", "author")``.
        target: the field that holds the text; None for "text".
        label: the field that holds the class. None: the classes are the folders, if there are at least two
            and no file outside them.
        allow_skipped: the share of the rows that may be broken; rows whose text or label is missing are
            skipped, and do not count.
        template: how chats are written: lists of messages in the field "messages" or "conversations", which hold
            the text where no row has a field "text".

    Raises:
        UsageError: nothing is there, it is binary, or a field is in none of the rows.
        LuoxiaError: it cannot be read, or holds no text.
    """
    condition = tuple(unicodedata.normalize("NFC", name) for name in condition)
    target, label = (name and unicodedata.normalize("NFC", name) for name in (target, label))
    if path is None:
        if condition or target or label:
            raise UsageError("condition=, target= and label= need data=: Python's own text has no fields")
        return _own_text()
    skips = Skips()
    files = open_files(expanded(path), skips)
    chat = chat_field(files, target)
    if chat and condition:
        raise UsageError(f"condition= goes with texts, and {path} holds chats in '{chat}': leave it out")
    wanted = chat or target or DEFAULT_TARGET
    named = [*condition, *((target,) if target else ()), *((label,) if label else ())]
    files = with_rows(files, wanted, skips)
    _check_fields(files, [*dict.fromkeys(named)], wanted, str(path))
    folders = {} if label else class_folders([file.name for file in files], str(path))
    content = [[file.name, file.digest, file.encoding.name] for file in files]
    key = ["texts", condition, wanted, label, sorted(folders.items()), content]
    key += [template.digest] if chat else []
    return _Files(
        title=str(path),
        fingerprint=fingerprint_of(key),
        condition=condition,
        labeled=bool(label or folders),
        chat=template if chat else None,
        skips=skips,
        allowed=allow_skipped,
        files=files,
        folders=folders,
        target=wanted,
        label=label,
    )


def text_in(record: Record, target: str, chat: ChatTemplate | None) -> str:
    """The text of a row, or its chat as ``chat`` writes it; raises as ``as_text``."""
    if chat is None:
        return as_text(record, target)
    if not record.get(target):
        raise MissingError(f"no field '{target}'")
    try:
        return chat.render(messages_of(record[target]))
    except ValueError as reason:
        raise ValueError(f"the field '{target}' holds {reason}") from reason


def _stated(record: Record, name: str) -> str:
    """A field of the condition; null, NaN and blanks state nothing."""
    try:
        return as_text(record, name)
    except MissingError:
        if name not in record:
            raise
        return ""


def condition_lines(fields: Iterable[tuple[str, str]]) -> list[str]:
    """A line ``key=value`` for each field that has a value; line ends in it become spaces."""
    return [f"{key}={' '.join(value.splitlines())}\n" for key, value in fields if value.strip()]


def fingerprint_of(key: object) -> str:
    """32 hex digits that stand for ``key``."""
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def with_rows(files: list[EncodedFile], target: str, skips: Skips) -> list[EncodedFile]:
    """Without those in JSON that hold no texts, such as settings beside the texts, if there are others."""
    beside = [file for file in files if file.kind == "json" and target not in known_fields(file)]
    if len(beside) == len(files):
        return files
    for file in beside:
        skips.add(file.name, f"no field '{target}'", "file")
    return [file for file in files if file not in beside]


def chat_field(files: Sequence[EncodedFile], target: str | None) -> str | None:
    """The field that holds chats: the one that is asked for, or where none is and no row has a text, any."""
    if target is not None:
        return target if target in FIELDS else None
    known = {name for file in files if file.kind in JSON for name in known_fields(file)}
    return None if DEFAULT_TARGET in known else next((name for name in FIELDS if name in known), None)


def _check_fields(files: Sequence[EncodedFile], named: Sequence[str], target: str, where: str) -> None:
    """Each field must appear in the first rows of some file; plain files have none."""
    tables = [file for file in files if file.kind in RECORDS]
    if not tables:
        if named:
            raise UsageError(
                f"{where} is plain text without fields, so not with '{named[0]}': give JSON lines"
            )
        return
    known: dict[str, None] = {}
    for file in tables:
        known.update(dict.fromkeys(known_fields(file)))
        if known.keys() >= {*named, target}:
            return
    if not known:
        return  # not one row can be read: reading says why
    require(named, list(known), where)
    try:
        require([target], list(known), where)
    except UsageError as error:
        raise UsageError(f"{error}; name the field that holds the text, as target= or text=") from error


def _own_text() -> TextSource:
    from pydoc_data.topics import topics

    title = f"Python's own documentation (pydoc topics, {len(topics)})"
    return _Topics(title, fingerprint_of(["topics", sorted(topics.items())]), topics=topics)
