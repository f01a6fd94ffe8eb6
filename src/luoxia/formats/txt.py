"""Plain text: the label lies beside it, and on request in one more line at the end."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

from luoxia.core.regular import open_regular
from luoxia.formats import sidecar
from luoxia.formats.carrier import KEY, MAX_BYTES, packed, unpacked
from luoxia.provenance.label import Label

_START = f'{{"{KEY}": '.encode()


def write(text: str, label: Label, path: Path, *, inline: bool = False) -> Path:
    """Write a text as UTF-8; ``inline`` adds a last line with the label, for a file that travels without its sidecar.

    Lone surrogates are escaped.
    """
    content = text.encode("utf-8", "backslashreplace")
    if inline:
        content += b"" if content.endswith(b"\n") or not content else b"\n"
        own = replace(label, sha256=hashlib.sha256(content).hexdigest())
        content += f"{packed(own)}\n".encode()
    return sidecar.write(content, label, path)


def read_label(path: Path) -> Label | None:
    """The label beside a file, or in its last line."""
    return sidecar.read_label(path) or _inline(path)[0]


def is_intact(path: Path, label: Label) -> bool:
    """Whether the text is the one that the label belongs to."""
    if sidecar.read_label(path) is not None:
        return sidecar.is_intact(path, label)
    _, start = _inline(path)
    with open_regular(path) as file:
        digest = hashlib.sha256()
        while start > 0 and (part := file.read(min(start, 2**20))):
            digest.update(part)
            start -= len(part)
    return digest.hexdigest() == label.sha256


def _inline(path: Path) -> tuple[Label | None, int]:
    """The label in the last line, and where that line begins."""
    with open_regular(path) as file:
        size, span, start = file.seek(0, io.SEEK_END), 2**12, 0
        while start == 0:  # the line may be longer than what was read
            span *= 16
            file.seek(max(0, size - span))
            tail = file.read(span)
            start = tail.removesuffix(b"\n").rfind(b"\n") + 1
            if span >= min(size, MAX_BYTES):
                break
    line = tail[start:]
    return (unpacked(line) if line.startswith(_START) else None), size - len(line)
