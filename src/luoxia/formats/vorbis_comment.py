"""The tags of FLAC and Ogg: NAME=value, each with its length before it. The label is the tag ``LUOXIA``."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from luoxia.core.files import to_json
from luoxia.formats.carrier import KEY, MAX_BYTES, unpacked
from luoxia.provenance.label import Label

NAME = KEY.upper()


def packed(label: Label) -> bytes:
    """A comment with the software and the label."""
    software = f"{label.system} {label.version}"
    tags = [f"ENCODER={software}", f"{NAME}={to_json(label.as_dict())}"]
    return _text(software) + struct.pack("<I", len(tags)) + b"".join(map(_text, tags))


def _text(value: str) -> bytes:
    content = value.encode("utf-8", "backslashreplace")
    return struct.pack("<I", len(content)) + content


def label_in(comment: bytes) -> Label | None:
    """The label in a comment; None where it holds none."""
    for tag in _tags(comment):
        name, _, value = tag.partition(b"=")
        if name.upper() == NAME.encode():
            return unpacked(value[: MAX_BYTES + 1], ours=True)
    return None


def _tags(comment: bytes) -> Iterator[bytes]:
    """Each whole tag."""
    at = 4 + int.from_bytes(comment[:4], "little") + 4  # after the vendor and the count
    while at + 4 <= len(comment):
        end = at + 4 + int.from_bytes(comment[at : at + 4], "little")
        if end > len(comment):
            return
        yield comment[at + 4 : end]
        at = end
