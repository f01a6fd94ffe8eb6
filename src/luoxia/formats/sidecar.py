"""FILE.label.json: the label of a file whose format has no room for one, or must keep line i for row i."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from luoxia.core.files import write_together
from luoxia.core.regular import open_regular
from luoxia.formats.carrier import MAX_BYTES, packed, unpacked
from luoxia.provenance.label import InvalidLabelError, Label

SUFFIX = ".label.json"


def beside(path: Path) -> Path:
    """Where the label of a file lies."""
    return path.with_name(f"{path.name}{SUFFIX}")


def write(content: bytes, label: Label, path: Path) -> Path:
    """Write a file and its label beside it, both or neither. The label's ``sha256`` is that of the file."""
    label = replace(label, sha256=hashlib.sha256(content).hexdigest())
    # The label comes first: if the machine stops between the two, it belongs to other content, and the file is not ours
    write_together({beside(path): f"{packed(label)}\n".encode(), path: content})
    return path


def read_label(path: Path) -> Label | None:
    """The label of a file, or in a label file itself; None where none lies there."""
    own = path if path.name.endswith(SUFFIX) else beside(path)
    if own.is_symlink() or not own.is_file():
        return None
    with open_regular(own) as file:
        label = unpacked(file.read(MAX_BYTES + 1), claimed=True)
    if label is not None and not label.sha256:
        raise InvalidLabelError(f"the label {own.name} names no sha256, so no content that it belongs to")
    return label


def is_intact(path: Path, label: Label) -> bool:
    """Whether the file is the one that the label belongs to; a label file itself always is."""
    if path.name.endswith(SUFFIX):
        return True
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == label.sha256
