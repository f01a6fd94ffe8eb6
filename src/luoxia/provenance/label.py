"""The label of a generated file: which model made it, what it was asked for, what it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from luoxia import __version__
from luoxia.core.errors import LuoxiaError
from luoxia.core.names import readable

FORMAT = 1
"""The version of the record's layout; a label of a newer one is refused."""
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

    system: str = "Luoxia"
    version: str = __version__
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
        parents = [
            {"name": parent.name, **({"sha256": parent.sha256} if parent.sha256 else {})}
            for parent in self.parents
        ]
        values = {own.name: getattr(self, own.name) for own in fields(self)}
        values |= {"controls": dict(self.controls), "parents": parents}
        return {"format": FORMAT} | {
            name: value for name, value in values.items() if value not in ("", None, {}, [])
        }

    @classmethod
    def from_dict(cls, value: object) -> Label:
        """Read what ``as_dict`` gave; keys that are unknown here are ignored.

        Raises:
            InvalidLabelError: a field has the wrong type, or a newer Luoxia wrote it.
        """
        if not isinstance(value, dict):
            raise InvalidLabelError("the label is not a JSON object")
        if not _is_shallow(value):
            raise InvalidLabelError(f"the label is nested more than {MAX_DEPTH} levels deep")
        version = value.get("format", FORMAT)
        if type(version) is not int or version < 1:
            raise InvalidLabelError(f"the label's format is {readable(version)}, not a number from 1")
        if version > FORMAT:
            raise InvalidLabelError(
                f"the label has format {readable(version)}, and this Luoxia reads up to {FORMAT}: upgrade luoxia"
            )
        kinds = {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_NUMBERS, int), "controls": dict}
        known = {name: value[name] for name in kinds if value.get(name) is not None}
        for name, found in known.items():
            if type(found) is not kinds[name]:
                raise InvalidLabelError(f"the label's {name} is {readable(found)}, not {_WORDS[kinds[name]]}")
        return cls(**{"system": "", "version": "", **known}, parents=_parents(value.get("parents", [])))


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
