"""The values that keys take: numbers, sizes, durations, lists, paths, and values that are annealed."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator

from luoxia.core.errors import UsageError
from luoxia.core.names import expanded
from luoxia.core.sentences import shown

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
    if match is None:
        raise ValueError("must be a duration, e.g. 90s, 10m or 2h")
    if not match[2]:
        raise ValueError(f"needs a unit: {match[1]}s, {match[1]}m or {match[1]}h")
    return float(match[1]) * _UNITS[match[2]]


_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", value, re.IGNORECASE)
    if match is None:
        raise ValueError("must be a size such as 500M or 20G")
    return int(float(match[1]) * _BYTES[match[2].upper()])


def plain(value: Any) -> Any:
    """A value of Python as a recipe keeps it: paths, devices and NumPy's values as text, numbers and tuples."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(os.fspath(value))
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):  # a number of NumPy or torch
        return value.item()
    if isinstance(value, range) or (shape is not None and len(shape) == 1 and hasattr(value, "tolist")):
        return tuple(value if isinstance(value, range) else value.tolist())
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    if type(value).__module__ == "torch" and type(value).__name__ == "device":
        return str(value)
    return value


def named_path(value: Any, verb: str) -> str:
    """A path, or the folder of a run, as text; ``UsageError`` for anything else."""
    if isinstance(value, str | os.PathLike) and value != "":
        path: str = _home(os.fsdecode(os.fspath(value)))
        return path
    raise UsageError(f"{verb} needs the path of a run or of a model, not {shown(value)}")


def _size(value: Any) -> Any:
    if isinstance(value, int):
        return (value, value)
    if not isinstance(value, str) and not (isinstance(value, list | tuple) and len(value) == 2):
        raise ValueError("must be a number of pixels such as 64, or HEIGHTxWIDTH such as 48x64")
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+)(?:\s*[x×]\s*(\d+))?\s*", value)
        if match is None:
            raise ValueError("must be a number of pixels such as 64, or HEIGHTxWIDTH such as 48x64")
        return (int(match[1]), int(match[2] or match[1]))
    return value


def _words(value: Any) -> Any:
    if value is None:
        return ()
    if not isinstance(value, str):
        return value
    quoted = r'\s*"((?:[^"]|"")*)"\s*(?=[,+]|$)'
    found = re.findall(rf"(?:^|(?<=[,+]))(?:{quoted}|([^,+]*))", value)
    words = [inside.replace('""', '"') or plain.strip() for inside, plain in found]
    return tuple(word for word in words if word not in ("", "none"))


def as_words(values: Iterable[object]) -> str:
    """What is joined by commas on the command line; a word that holds a separator stands in quotation marks."""
    words = [str(value) for value in values]
    return ",".join('"' + word.replace('"', '""') + '"' if set(word) & set(',+"') else word for word in words)


def _two_numbers(value: Any) -> Any:
    parts = tuple(part.strip(" ()[]") for part in value.split(",")) if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 2:
        raise ValueError("must be two numbers, such as 0.5,0.99")
    return parts


def _several(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip() not in ("", "none"))
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else value


def _none(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value == "":
        raise ValueError("is empty: give a value, or none")
    return None if value in ("none", "None") else value


def _home(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("~"):
        return value
    slash = "/" if value.endswith(("/", os.sep)) else ""  # which says that it is to be a folder
    return f"{expanded(value)}{slash}"


def _whole(value: Any) -> Any:
    """20_000 and 2e4 are whole numbers too, true is none."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    if (
        isinstance(value, str)
        and re.fullmatch(r"\d[\d_]*(?:\.\d+)?[eE]\d+", value)
        and float(value).is_integer()
    ):
        return int(Decimal(value))
    return value


@dataclass(frozen=True)
class Annealed:
    """A value that goes from ``start`` to ``end`` during training, along half a cosine; written ``0.05..0.005``."""

    start: float
    end: float

    def at(self, share: float) -> float:
        """The value when ``share`` of the way, in [0, 1], is behind; beyond, that at the end."""
        left = 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))
        return left * self.start + (1 - left) * self.end

    def __str__(self) -> str:
        return f"{shortest(self.start)}..{shortest(self.end)}"

    def __format__(self, form: str) -> str:
        return f"{self.start:{form}}..{self.end:{form}}" if form else str(self)

    # a bound holds where it holds at both ends

    def __ge__(self, bound: float) -> bool:
        return min(self.start, self.end) >= bound

    def __gt__(self, bound: float) -> bool:
        return min(self.start, self.end) > bound

    def __le__(self, bound: float) -> bool:
        return max(self.start, self.end) <= bound

    def __lt__(self, bound: float) -> bool:
        return max(self.start, self.end) < bound


def value_at(value: float | Annealed, share: float) -> float:
    """A value that may be annealed, when ``share`` of the way is behind."""
    return value.at(share) if isinstance(value, Annealed) else value


def _annealed(value: Any) -> float | Annealed:
    if isinstance(value, Annealed):
        return value
    parts = value.split("..") if isinstance(value, str) else [value]
    try:
        ends = [float(part) for part in parts]
    except (TypeError, ValueError):
        ends = []
    if len(ends) not in (1, 2):
        many = ", or two such as 0.05..0.005, to go from one to the other" if len(parts) > 1 else ""
        raise ValueError(f"must be a number{many}")
    if not all(map(math.isfinite, ends)):
        raise ValueError("must be a finite number")
    return Annealed(*ends) if len(ends) == 2 else ends[0]


def shortest(value: float | Annealed) -> str:
    """A value as it would be written."""
    if isinstance(value, Annealed):
        return str(value)
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def spell_bytes(size: int) -> str:
    """A size for people.

    >>> spell_bytes(812), spell_bytes(3 * 2**20)
    ('812 B', '3.0 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024  # type: ignore[assignment]
    return f"{size} B" if unit == "B" else f"{size:,.1f} {unit}"


def _text(size: tuple[int, int]) -> str:
    height, width = size
    return str(height) if height == width else f"{height}x{width}"


Seconds = Annotated[float, BeforeValidator(_seconds)]
Bytes = Annotated[int, BeforeValidator(_bytes)]
"""A size in bytes; K, M, G and T are powers of 1,024."""
Size = Annotated[tuple[int, int], BeforeValidator(_size), PlainSerializer(_text, return_type=str)]
Annealable = Annotated[
    float | Annealed,
    PlainValidator(_annealed, json_schema_input_type=float | str),
    PlainSerializer(lambda value: str(value) if isinstance(value, Annealed) else value),
]
AnnealableWeight = Annotated[Annealable, Field(ge=0)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Share = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Share, Annotated[Annealable, Field(ge=0, lt=1)]], BeforeValidator(_two_numbers)]
Whole = Annotated[int, BeforeValidator(_whole), Field(le=10**12)]
"""A number of something; what is beyond the bound is a slip, and no array could be as large."""
Seed = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**63)]
Several = BeforeValidator(_several)
"""Marks a tuple that may be given as words joined by commas."""
Unset = BeforeValidator(_none)
"""Marks an optional value: the word ``none`` means that it is not set."""
Place = BeforeValidator(lambda value: _home(_none(value)))
"""Marks an optional path: as ``Unset``, and ``~`` is the home folder, unless something is called so."""
