"""A model's ``config.json``, read with suspicion: every value has its type, its bounds and its default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luoxia.errors import LuoxiaError
from luoxia.interchange.tensors import read_json

LARGEST = 2**31
LONGEST = 2**20
"""Tokens of the longest context: its table of rotations is made before a single weight is read."""


class Config:
    """The values of a ``config.json``; ``LuoxiaError`` names the key that is wrong and the file."""

    def __init__(self, path: Path, values: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.values = read_json(path) if values is None else dict(values)

    def get(self, key: str, default: Any = None) -> Any:
        """The raw value; ``default`` where there is none or null."""
        value = self.values.get(key)
        return default if value is None else value

    def wrong(self, key: str, must: str) -> LuoxiaError:
        """The error of one key."""
        return LuoxiaError(f"{self.path}: {key} must be {must}, not {str(self.values.get(key))[:60]!r}")

    def size(self, key: str, default: int | None = None, *, most: int = LARGEST) -> int:
        """A whole number from 1; required without a ``default``."""
        value = self.get(key, default)
        if type(value) is not int or not 1 <= value <= most:
            raise self.wrong(key, f"a whole number from 1 to {most:,}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number; required without a ``default``."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.wrong(key, "a positive number")
        return float(value)

    def share(self, key: str) -> float:
        """A number from 0 to 1, such as a dropout; 0 by default."""
        value = self.get(key, 0.0)
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise self.wrong(key, "a number from 0 up to 1")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.get(key, default)
        if type(value) is not bool:
            raise self.wrong(key, "true or false")
        return value

    def one_of(self, key: str, table: Mapping[str, str], default: str) -> str:
        """What ``table`` says of the value."""
        value = self.get(key, default)
        if not isinstance(value, str) or value not in table:
            raise self.wrong(key, f"one of {', '.join(table)}")
        return table[value]

    def only(self, **supported: object) -> None:
        """Refuse every other value of these keys: settings that would change the network and are not built."""
        for key, value in supported.items():
            if self.get(key, value) != value:
                raise LuoxiaError(
                    f"{self.path}: {key}={str(self.values[key])[:60]} is not supported, only {key}={value} is"
                )


def rope(config: Config) -> dict[str, Any]:
    """The rotary part of a `Shape`, from ``rope_parameters`` or from the older ``rope_theta`` and ``rope_scaling``."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(scaling, dict):
        raise config.wrong("rope_scaling", "an object")
    given = Config(config.path, {"rope_theta": config.get("rope_theta"), **scaling})
    given.only(partial_rotary_factor=1.0)
    kind = given.get("rope_type", given.get("type", "default"))
    theta = {"rope_theta": given.number("rope_theta", 10_000.0)}
    if kind == "default":
        return theta
    if kind == "linear":
        return {**theta, "rope_factor": given.number("factor")}
    if kind != "llama3":
        raise LuoxiaError(
            f"{config.path}: rope scaling of the kind {str(kind)[:40]!r} is not supported, "
            "only 'linear' and 'llama3' are"
        )
    low, high = given.number("low_freq_factor"), given.number("high_freq_factor")
    if low >= high:
        raise given.wrong("low_freq_factor", f"below high_freq_factor={high}")
    original = given.size("original_max_position_embeddings", config.get("max_position_embeddings"))
    return {
        **theta,
        "rope_factor": given.number("factor"),
        "rope_low": low,
        "rope_high": high,
        "rope_original": original,
    }
