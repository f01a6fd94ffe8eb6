"""Markdown: the label is in the front matter, which is YAML."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from luoxia.core.files import to_json, write_file
from luoxia.core.regular import open_regular
from luoxia.formats import sidecar
from luoxia.formats.carrier import KEY, MAX_BYTES, unpacked
from luoxia.provenance.label import Label

_FRONT = re.compile(r"---\n(?!---\n)(?:.*\n)*?---\n")
_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_START = f"---\n{KEY}: ".encode()


def write(text: str, label: Label, path: Path) -> Path:
    """Write a text with the label above it; front matter that the text has is kept. ``sha256`` is that of the text."""
    data = text.encode("utf-8", "backslashreplace")
    record = to_json(replace(label, sha256=hashlib.sha256(data).hexdigest()).as_dict())
    escaped = _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", record)
    rest = data.removeprefix(b"---\n") if _FRONT.match(text) else b"---\n" + data
    return write_file(path, _START + escaped.encode() + b"\n" + rest)


def read_label(path: Path) -> Label | None:
    """The label in the front matter, or beside the file: a translated file keeps line i for row i."""
    with open_regular(path) as file:
        if file.read(len(_START)) == _START:
            return unpacked(file.readline(MAX_BYTES + 1), ours=True)
    return sidecar.read_label(path)


def is_intact(path: Path, label: Label) -> bool:
    """Whether the text is the one that the label belongs to."""
    with open_regular(path) as file:
        if file.read(len(_START)) != _START:
            return sidecar.is_intact(path, label)
        file.readline(MAX_BYTES + 1)
        data = file.read()
    text = data.removeprefix(b"---\n") if data.startswith(b"---\n") else b"---\n" + data
    return hashlib.sha256(text).hexdigest() == label.sha256
