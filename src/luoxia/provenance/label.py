"""The label of a generated file: which model made it, what it was asked for, what it was made from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from luoxia import __version__
from luoxia.core.errors import LuoxiaError
from luoxia.core.files import to_json
from luoxia.core.names import readable
from luoxia.provenance.old_labels import is_old_label, updated

KEY = "luoxia"
"""Every format holds the label as JSON under this name."""
FORMAT = 1
"""The version of the record's layout; a label of a newer one is refused."""
MAX_BYTES = 2**24
"""Bytes of a label at most."""
MAX_DEPTH = 64
"""Levels of nesting in a label at most."""


class InvalidLabelError(LuoxiaError):
    """A file has a label that is damaged, from a newer Luoxia, or of other content; ``inspect`` exits with 3."""

    exit_code = 3


@dataclass(frozen=True)
class Parent:
    """Something that a file was made from: the name of a file, and the SHA-256 of its bytes where it is known."""

    name: str
    sha256: str = ""


@dataclass(frozen=True)
class Label:
    """The provenance of one generated file, the same for every medium. What is unknown is "" or None.

    >>> label = Label(recipe="dcgan", run="dcgan-1", step=3000, seed=1, controls={"n": 64})
    >>> Label.from_dict(label.as_dict()) == label
    True
    """

    recipe: str = ""
    """The recipe that trained the model; of another toolkit's model its architecture."""
    run: str = ""
    """The name of the run's folder; of another toolkit's model that of its folder."""
    step: int | None = None
    """The training step of the weights."""
    model: str = ""
    """SHA-256 of the file with the model's weights."""
    data: str = ""
    """Fingerprint of the data that the model learned from."""
    seed: int | None = None
    index: int | None = None
    """The position of this sample among those that one request made."""
    controls: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, by the names of the verb's keys: class, truncation, prompt."""
    parents: tuple[Parent, ...] = ()
    """What it was made from."""
    note: str = ""
    sha256: str = ""
    """Digest of the content that the label belongs to; the format's writer fills it in."""
    system: str = "Luoxia"
    version: str = __version__

    def asked(
        self,
        controls: Mapping[str, Any],
        *,
        seed: int | None = None,
        index: int | None = None,
        parents: Iterable[Parent] = (),
    ) -> Label:
        """The label of what was made on request: ``controls`` and ``parents`` are added to those already there."""
        return replace(
            self,
            controls={**self.controls, **controls},
            seed=self.seed if seed is None else seed,
            index=self.index if index is None else index,
            parents=(*self.parents, *parents),
        )

    def as_dict(self) -> dict[str, Any]:
        """The label as JSON values; what is unknown is left out."""
        fields = {name: getattr(self, name) for name in (*_TEXTS, *_NUMBERS)}
        fields["controls"] = dict(self.controls)
        fields["parents"] = [
            {"name": parent.name, **({"sha256": parent.sha256} if parent.sha256 else {})}
            for parent in self.parents
        ]
        return {"format": FORMAT} | {
            name: value for name, value in fields.items() if value not in ("", None, {}, [])
        }

    @classmethod
    def from_dict(cls, value: object) -> Label:
        """Read a label of this version or an older one; keys that are unknown here are ignored.

        Raises:
            InvalidLabelError: a field has the wrong type, or a newer Luoxia wrote it.
        """
        if not isinstance(value, dict):
            raise InvalidLabelError("the label is not a JSON object")
        if not _is_shallow(value):
            raise InvalidLabelError(f"the label is nested more than {MAX_DEPTH} levels deep")
        fields = value if "system" in value or "format" in value else updated(value)
        version = fields.get("format", FORMAT)
        if type(version) is not int or version < 1:
            raise InvalidLabelError(f"the label's format is {readable(version)}, not a number from 1")
        if version > FORMAT:
            raise InvalidLabelError(
                f"the label has format {readable(version)}, and this Luoxia reads up to {FORMAT}: upgrade luoxia"
            )
        kinds = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_NUMBERS, int), "controls": dict}
        known = {name: fields[name] for name in kinds if fields.get(name) is not None}
        for name, found in known.items():
            if type(found) is not kinds[name]:
                raise InvalidLabelError(f"the label's {name} is {readable(found)}, not {_WORDS[kinds[name]]}")
        return cls(**known, parents=_parents(fields.get("parents", [])))


_TEXTS = ("system", "version", "recipe", "run", "model", "data", "note", "sha256")
_NUMBERS = ("step", "seed", "index")
_WORDS: dict[type, str] = {str: "a text", int: "a whole number", dict: "a JSON object"}


def _parents(value: object) -> tuple[Parent, ...]:
    known = isinstance(value, list) and all(
        isinstance(parent, dict) and all(isinstance(parent.get(key, ""), str) for key in ("name", "sha256"))
        for parent in value
    )
    if not isinstance(value, list) or not known:
        raise InvalidLabelError("the label's parents are not a list of names with digests")
    return tuple(Parent(parent.get("name", ""), parent.get("sha256", "")) for parent in value)


def _is_shallow(value: object, left: int = MAX_DEPTH) -> bool:
    inner: Iterable[object] = ()
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_is_shallow(part, left - 1) for part in inner)


# ------------------------------------------------------------------ as JSON in a file


def packed(label: Label) -> str:
    """One line of JSON with the label under its key, for carriers that others write to, too."""
    return to_json({KEY: label.as_dict()})


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
    return Label.from_dict(value) if ours else label_in(value)


def label_in(record: object) -> Label | None:
    """The label in a JSON object that may hold more, such as a row; None where it holds none.

    Raises:
        InvalidLabelError: as ``Label.from_dict``.
    """
    if not isinstance(record, dict):
        return None
    if isinstance(record.get(KEY), dict):
        return Label.from_dict(record[KEY])
    return Label.from_dict(record) if is_old_label(record) else None
