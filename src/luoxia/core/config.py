"""Typed configuration: pydantic models filled from ``key=value`` words, YAML and Python keywords."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, ParamSpec, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    model_validator,
)

from luoxia.core.errors import OldNameWarning, UsageError
from luoxia.core.names import expanded

P = ParamSpec("P")
Made = TypeVar("Made")


def nearest(word: str, known: Iterable[str]) -> str:
    """The known words that look like ``word``, as the end of a sentence; empty when none does."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _fields(model: type) -> dict[str, Any]:
    return dict(model.model_fields) if issubclass(model, BaseModel) and model is not BaseModel else {}


class Config(BaseModel):
    """A typed section of a configuration.

    A section with a ``name`` can be given by that name alone. A section given in part keeps the rest of its default.
    A subclass that gives a field a new default, as in ``width: int = 32``, keeps the field's bounds and description.
    """

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True, allow_inf_nan=False)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of before → their names now. The old ones are read until 1.0; a subclass names its own alone."""
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """The same for the words that keys take: key → old word → new word."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        inherited = {
            name: field for base in reversed(cls.__mro__[1:]) for name, field in _fields(base).items()
        }
        for name, field in cls.model_fields.items():
            if field.description is None and name in inherited:
                field.description, field.metadata = inherited[name].description, inherited[name].metadata
        cls.model_rebuild(force=True)

    @model_validator(mode="before")
    @classmethod
    def _complete_sections(cls, value: Any) -> Any:
        if isinstance(value, str) and "name" in cls.model_fields:
            return {"name": value}
        if not isinstance(value, Mapping):
            return value
        complete: dict[Any, Any] = {key: plain(given) for key, given in cls.current(value).items()}
        for name, field in cls.model_fields.items():
            kinds = _types(field.annotation)
            for key in {name, field.alias} & complete.keys():
                if isinstance(complete[key], bool) and not {bool, Any} & set(kinds):
                    complete[key] = str(complete[key]).lower()  # refused, or read, as on the command line
            if name in complete and isinstance(field.default, Config):
                given = complete[name]
                named = isinstance(given, str) and "name" in type(field.default).model_fields
                if isinstance(given, Config):  # complete, and a copy: it may be in use elsewhere
                    complete[name] = given.model_copy()
                elif named or isinstance(given, Mapping):
                    complete[name] = merge(field.default.model_dump(), {"name": given} if named else given)
        return complete

    @classmethod
    def current(
        cls, settings: Mapping[str, Any], tell: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        """``settings`` under the names that keys and words have now, in sections too; ``tell`` hears of old ones."""
        names, words = _inherited(cls, "renamed"), _inherited(cls, "renamed_values")
        found: dict[str, Any] = {}
        for key, value in settings.items():
            name = names[key] if key in names and key not in cls.model_fields else key
            section = cls.model_fields[name].default if name in cls.model_fields else None
            if isinstance(section, Config) and isinstance(value, Mapping):
                value = type(section).current(value, tell)
            old = _words_of(value) & words[name].keys() if name in words else set()
            new = _reworded(value, words[name]) if old else value
            if tell and name != key:
                tell(f"{key}= is now called {name}=; the old name works until 1.0")
            for word in sorted(old):
                if tell:
                    tell(
                        f"{name}={word} is now written {name}={words[name][word]}; the old word works until 1.0"
                    )
            found = merge(found, {name: new})
        return found

    @classmethod
    def check_keys(cls, settings: Mapping[str, Any]) -> None:
        """``UsageError`` for an unknown key or a wrong value; what depends on several keys is not looked at."""
        try:
            cls.model_validate(dict(settings))
        except ValidationError as error:
            if error.errors()[0]["loc"]:
                raise UsageError(_sentence(cls, error)) from error

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Any:
        """Build from nested settings; ``UsageError`` names the key, what is wrong and what would be right."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise UsageError(_sentence(cls, error)) from error


def _inherited(kind: type[Config], table: str) -> dict[str, Any]:
    """A class's table of old names, with those of the classes that it is made of."""
    return {old: new for base in reversed(kind.__mro__) for old, new in base.__dict__.get(table, {}).items()}


def _words_of(value: Any) -> set[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return {part for part in parts if isinstance(part, str)} if isinstance(parts, list | tuple) else set()


def _reworded(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return ",".join(words.get(part, part) for part in value.split(","))
    return tuple(words.get(part, part) for part in value) if isinstance(value, list | tuple) else value


def warn_of_old_name(sentence: str) -> None:
    """The one line that a person reads who uses a name of before."""
    warnings.warn(sentence, OldNameWarning, stacklevel=2)


def refuse_unknown(given: Iterable[str], known: Sequence[str]) -> None:
    """``UsageError`` for the first key that is not known, with those that look like it."""
    for key in given:
        if key not in known:
            raise UsageError(_unknown(key, known))


def known_keys(function: Callable[P, Made]) -> Callable[P, Made]:
    """Let a function refuse keywords that it does not take as the command line refuses unknown keys."""
    known = [
        name for name, p in inspect.signature(function).parameters.items() if p.kind != p.POSITIONAL_ONLY
    ]

    @functools.wraps(function)
    def call(*args: P.args, **keywords: P.kwargs) -> Made:
        refuse_unknown(keywords, known)
        return function(*args, **keywords)

    return call


def checked(model: type[Config], *names: str) -> Callable[[Callable[P, Made]], Callable[P, Made]]:
    """Let a function's arguments of these names be what the command line's keys are: converted, or refused."""

    def decorate(function: Callable[P, Made]) -> Callable[P, Made]:
        signature = inspect.signature(function)
        rest = next((p.name for p in signature.parameters.values() if p.kind == p.VAR_KEYWORD), "")

        @functools.wraps(function)
        def call(*args: P.args, **keywords: P.kwargs) -> Made:
            bound = signature.bind(*args, **keywords)
            for place in (bound.arguments, bound.arguments.get(rest, {})):
                given = {name: place[name] for name in names if name in place}
                chosen = model.from_settings(given)
                place.update({name: getattr(chosen, name) for name in given})
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


# ------------------------------------------------------------------ values with units

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value)
    if match is None:
        raise ValueError("must be a length of time such as 90s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2] or "s"]


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
    """A value that goes from ``start`` to ``end`` as training goes on, by half a cosine; written ``0.05..0.005``."""

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


# ------------------------------------------------------------------ key=value and YAML


ELSEWHERE = {
    "batch_size": "batch", "learning_rate": "lr", "output": "out", "num_samples": "n", "dataset": "data",
    "max_steps": "steps", "num_steps": "steps",
}  # fmt: skip
"""What other toolkits call our keys."""


def right_form(words: Sequence[str]) -> str | None:
    """What should stand for the first word, where it and the next are a setting in another form; None where not.

    ``--data x``, ``--data=x``, ``data: x``, ``data = x`` and ``batch-size=8`` are settings in another form.
    """
    word, *rest = words
    match = re.fullmatch(r"(-{0,2})([A-Za-z_][\w.-]*)\s*([=:]?)\s*(.*)", word, re.DOTALL)
    if match is None:
        return None
    dashes, name, sign, value = match.groups()
    key = name.replace("-", "_")
    key = ELSEWHERE.get(key, key)
    spaced = not sign and bool(rest) and rest[0].startswith("=")
    if not dashes and "-" not in name and sign == "=" and value:
        return None
    if not (dashes or "-" in name or sign == ":" or spaced or (sign and rest and "=" not in rest[0])):
        return None
    if not value and rest and (dashes or spaced or sign):
        value = rest[0].removeprefix("=") or (rest[1] if len(rest) > 1 else "")
    return f"{key}={value or 'VALUE'}"


def parse_settings(words: Iterable[str]) -> dict[str, Any]:
    """``["lr=1e-4", "ema.halflife=5000"]`` → nested settings. ``config=file.yaml`` is read first, the others win."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"'{word}' is no setting: write key=value, such as steps=1000")
        pairs.append((key.strip(), value))
    files = [read_yaml(expanded(value)) for key, value in pairs if key == "config"]
    return functools.reduce(
        merge, [*files, *(nest({key: value}) for key, value in pairs if key != "config")], {}
    )


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` → ``{"a": {"b": 1}}``, within values too."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        value = nest(value) if isinstance(value, Mapping) else value
        for section in reversed(key.split(".")):
            value = {section: value}
        nested = merge(nested, value)
    return nested


def merge(settings: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``new`` laid over ``settings``, section by section; neither is changed.

    A section may be given by its name alone: ``{"optimizer": "sgd"}`` is ``{"optimizer": {"name": "sgd"}}``. A section
    that is a ``Config`` is complete, and replaces all of an older one.
    """
    merged = dict(settings)
    for key, value in new.items():
        if isinstance(value, Mapping):
            merged[key] = merge(_as_section(merged[key]), value) if key in merged else dict(value)
        elif isinstance(value, str) and isinstance(merged.get(key), Mapping | Config):
            merged[key] = merge(_as_section(merged[key]), {"name": value})
        else:
            merged[key] = value
    return merged


def _as_section(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Config):
        return value.model_dump()
    return value if isinstance(value, Mapping) else {"name": value}


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file; keys may be nested or dotted."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"config={path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"config={path} is not valid YAML: {_where(error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"config={path} must hold keys and values, one a line")
    settings = nest(content)
    if "use" in settings:
        raise UsageError(f"config={path} names a file of code as use: name it yourself, use=FILE.py")
    return settings


def _where(error: Exception) -> str:
    """The place and the nature of an error in YAML, in one line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"line {mark.line + 1}: {problem}" if mark and problem else str(error).splitlines()[0]


# ------------------------------------------------------------------ sentences


def _sentence(model: type[Config], error: ValidationError) -> str:
    """The first thing that is wrong, with its key."""
    first = error.errors()[0]
    location = [part for part in first["loc"] if isinstance(part, str) and not part.startswith("function-")]
    key = ".".join(location)
    given = first["input"]
    if first["type"] == "extra_forbidden" and location[1:] == ["name"]:
        return (
            f"{location[0]}={shown(given)}: {location[0]} has keys of its own; write {location[0]}.KEY=VALUE"
        )
    if first["type"] == "extra_forbidden":
        parent = _section(model, location[:-1])
        prefix = ".".join([*location[:-1], ""])
        known = [prefix + (field.alias or name) for name, field in parent.model_fields.items()]
        if ELSEWHERE.get(key) in known:
            return f"unknown key '{key}': write {ELSEWHERE[key]}={shown(given)}"
        return _unknown(key, known)
    if not key:
        return _own_words(first, key)
    if first["type"] == "missing":
        return f"{key}= {_own_words(first, key)}"
    if isinstance(given, Mapping) and given and _section(model, location) is model:
        return f"unknown key '{key}.{list(given)[-1]}': {key} is one value and has no keys"
    return f"{key}={shown(given)}: {_own_words(first, key)}"


def _unknown(key: str, known: Sequence[str]) -> str:
    return f"unknown key '{key}'{nearest(key, known) or '; known are ' + ', '.join(known)}"


def _own_words(first: Any, key: str) -> str:
    context = {**(first.get("ctx") or {}), "section": key}
    context |= {name: f"{bound:g}" for name, bound in context.items() if isinstance(bound, float)}
    context["expected"] = expected = str(context.get("expected")).replace("'", "")
    context["choices"] = f"one of {expected}" if " or " in expected else expected
    kinds = {
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_parsing": "must be a number",
        "float_type": "must be a number",
        "finite_number": "must be a finite number",
        "bool_parsing": "must be true or false",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be {ge} or more",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be {le} or less",
        "literal_error": "must be {choices}",
        "missing": "is missing: give it a value",
        "too_short": "must be {min_length} or more values, joined by commas",
        "too_long": "must be {max_length} values at most, joined by commas",
        "tuple_type": "must be values joined by commas",
        "string_type": "must be text, such as a name or a path",
        "bool_type": "must be true or false",
        "int_parsing_size": "must be a smaller number",
        "model_type": "{section} has keys of its own; write {section}.KEY=VALUE",
    }
    template = kinds.get(first["type"])
    if template is None:
        message: str = first["msg"]
        return message.removeprefix("Value error, ")
    return template.format(**context)


def shown(value: Any) -> str:
    """A value in a sentence: in one line, and not too long."""
    if getattr(value, "shape", ()) != () and hasattr(value, "dtype"):
        return f"an array of {value.dtype} {tuple(value.shape)}"
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"{Decimal(value).normalize():.3g}".replace("e+", "e")
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"


def _section(model: type[Config], location: list[str]) -> type[Config]:
    for name in location:
        if name not in model.model_fields:
            break
        for candidate in _types(model.model_fields[name].annotation):
            if isinstance(candidate, type) and issubclass(candidate, Config):
                model = candidate
    return model


def _types(annotation: Any) -> list[Any]:
    """The types and the literal values that an annotation is made of."""
    return (
        [a for arg in get_args(annotation) for a in _types(arg)] if get_origin(annotation) else [annotation]
    )


def meanings(model: type[Config], prefix: str = "") -> dict[str, str]:
    """Dotted keys → descriptions, in the order of ``flatten``; choices that a description leaves out are added."""
    told: dict[str, str] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.default, Config):
            told |= meanings(type(field.default), f"{prefix}{name}.")
            continue
        text = field.description or ""
        choices = [c for c in _types(field.annotation) if isinstance(c, str)]
        if not all(choice in text for choice in choices):
            text += f" ({', '.join(choices)})"
        told[prefix + (field.alias or name)] = text
    return told


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings → dotted keys, in order."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def given_keys(config: Config, prefix: str = "") -> set[str]:
    """The dotted keys that were set, and not left at their defaults."""
    keys: set[str] = set()
    for name in config.model_fields_set:
        value = getattr(config, name)
        keys |= given_keys(value, f"{prefix}{name}.") if isinstance(value, Config) else {prefix + name}
    return keys
