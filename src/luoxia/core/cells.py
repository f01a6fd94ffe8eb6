"""One rule for what a cell of a table, or a value in JSON, says: a text, a label, or nothing."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class MissingError(ValueError):
    """A cell says nothing: it is absent, null, NaN, or blank."""


def text_of(value: object) -> str:
    """A cell as text: strings as they are, numbers written out (1.0 as 1), truth values as true and false.

    Raises:
        MissingError: it is None, NaN or blank.
        ValueError: it is a list, an object, infinite, or no valid Unicode; the message says which.
    """
    if value is None:
        raise MissingError("null")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _decimal(value)
    if not isinstance(value, str | int):
        raise ValueError(f"not text but {kind_of_value(value)}")
    text = str(value)
    if not text.strip():
        raise MissingError("empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("not text: it holds half a surrogate pair") from error
    return text


def is_missing(value: object) -> bool:
    """Whether a cell says nothing; lists and objects say something."""
    try:
        text_of(value)
    except MissingError:
        return True
    except ValueError:
        pass
    return False


def label_of(value: object) -> str:
    """A cell as the name of a class: its text without blanks around it, in Unicode's normal form C; raises as that."""
    return unicodedata.normalize("NFC", text_of(value).strip())


def one_name_a_number(labels: Iterable[str]) -> dict[str, str]:
    """What to call labels otherwise: {"1.0": "1"} where both stand for one class in a column of text."""
    known = set(labels)
    return {name: whole for name in known if (whole := whole_number(name)) != name and whole in known}


def whole_number(label: str) -> str:
    """ "1" for "1.0" or "1.00"; any other label as it is."""
    whole, _, rest = label.partition(".")
    return whole if rest and not rest.strip("0") and whole.removeprefix("-").isdecimal() else label


def read_settings(path: Path) -> dict[str, Any]:
    """The JSON object in a file of settings, {} where no file lies; ``ValueError`` where it holds anything else."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} holds {kind_of_value(found)}, not an object")
    return found


def kind_of_value(value: object) -> str:
    """What a value of JSON is, in words."""
    if value is None:
        return "null"
    kinds = {bool: "true or false", list: "a list", dict: "an object", str: "a string"}
    return kinds.get(type(value), "a number")


def _decimal(value: float) -> str:
    if math.isnan(value):
        raise MissingError("NaN")
    if math.isinf(value):
        raise ValueError("not text but an infinite number")
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)
