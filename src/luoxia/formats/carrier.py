"""What carries a label: JSON under one name, bounded in size, whoever wrote the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from luoxia.core.files import to_json
from luoxia.formats.old_labels import is_old_label, updated
from luoxia.provenance.label import InvalidLabelError, Label

KEY = "luoxia"
"""Every format holds the label under this name."""
MAX_BYTES = 2**24
"""Bytes of a label at most."""


def packed(label: Label, facts: Mapping[str, Any] | None = None) -> str:
    """One line of JSON with the label under its key, beside ``facts``, for carriers that others write to, too."""
    return to_json({**(facts or {}), KEY: label.as_dict()})


def unpacked(text: bytes, *, ours: bool = False, claimed: bool = False) -> Label | None:
    """The label in a carrier's JSON; None where the JSON is somebody else's.

    ``ours``: the carrier's name is Luoxia's, so that its whole content is a label. ``claimed``: it may hold something
    else, but nothing other than JSON.

    Raises:
        InvalidLabelError: the label is too large, damaged, or from a newer Luoxia.
    """
    claimed = ours or claimed or f'"{KEY}"'.encode() in text[: 2**10]
    if len(text) > MAX_BYTES:
        if claimed:
            raise InvalidLabelError(f"the label is larger than {MAX_BYTES // 2**20} MiB")
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if claimed:
            raise InvalidLabelError("the label is damaged JSON") from None
        return None
    return _read(value) if ours else label_in(value)


def label_in(record: object) -> Label | None:
    """The label in a JSON object that may hold more, such as a row; None where it holds none.

    Raises:
        InvalidLabelError: as ``Label.from_dict``.
    """
    if not isinstance(record, dict):
        return None
    if isinstance(record.get(KEY), dict):
        return Label.from_dict(record[KEY])
    return _read(record) if is_old_label(record) else None


def _read(value: object) -> Label:
    """A label of this version, or one of before there was a format."""
    old = isinstance(value, dict) and not {"format", "system"} & value.keys()
    return Label.from_dict(updated(value) if old else value)  # type: ignore[arg-type]
