"""The shapes of run.json, config.json and the lines of metrics.jsonl: a folder may be anybody's, and broken."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

Number = float | None
"""JSON has null where a number is not finite."""
Numbers = dict[str, Number]
Count = Annotated[int, Field(ge=0, lt=2**63)]
OPEN = ConfigDict(extra="allow", strict=True)


class Manifest(TypedDict):
    """What is read of run.json."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    format: Annotated[int, Field(ge=1)]
    recipe: str
    config: dict[str, Any]
    command: str
    data: Fingerprint
    hardware: NotRequired[dict[str, Any]]
    versions: NotRequired[dict[str, Any]]


class Fingerprint(TypedDict):
    """Of the data, what is read to know it again."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    fingerprint: str


class Model(TypedDict):
    """What is read of a model folder's config.json."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    format: Annotated[int, Field(ge=1)]
    kind: str
    recipe: str
    config: dict[str, Any]
    run: str
    step: Count
    data: str
    spec: NotRequired[dict[str, Any]]
    classes: NotRequired[list[str]]
    fields: NotRequired[list[str]]


class Line(TypedDict):
    """What every line of metrics.jsonl has."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    kind: str
    step: Count
    seconds: Number
    stage: NotRequired[str]


class Log(Line):
    """What the doctor reads; lines of 0.1.0 have no seconds of data, step and maintenance, no memory and no share."""

    losses: NotRequired[dict[str, Numbers]]
    gradients: NotRequired[Numbers]
    skipped: NotRequired[Number]
    statistics: NotRequired[Numbers]


class Watched(TypedDict):
    """What the doctor follows."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]
    distance: Number
    reference: NotRequired[Number]
    floor: NotRequired[Number]
    """What 0.1.0 called the reference."""
    name: NotRequired[str]


class ScoreRecord(TypedDict):
    """One score."""

    __pydantic_config__ = OPEN  # type: ignore[misc]
    name: str
    value: Number
    low: NotRequired[Number]
    high: NotRequired[Number]
    reference: NotRequired[Number]
    floor: NotRequired[Number]
    """What 0.1.0 called the reference."""
    heading: NotRequired[Literal["authenticity", "plausibility", "creativity"]]
    signature: NotRequired[dict[str, str | int | float]]
    meaning: NotRequired[str]
    better: NotRequired[Literal["lower", "higher", ""]]


class Scores(Line):
    """Scores, between two steps or final."""

    scores: list[ScoreRecord]
    watched: NotRequired[Watched]


_LINE = TypeAdapter(Line)
_FILES: dict[str, TypeAdapter[Any]] = {"run.json": TypeAdapter(Manifest), "config.json": TypeAdapter(Model)}
_SHAPES: dict[str, TypeAdapter[Any]] = {"log": TypeAdapter(Log), "score": TypeAdapter(Scores)}


def problem(name: str, content: object) -> str:
    """What is wrong with the content of a run.json or config.json, as the end of a sentence; "" where nothing is."""
    try:
        _FILES[name].validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return ""


def is_line(record: object) -> bool:
    """Whether a line of metrics.jsonl is an object with a kind, a step and seconds."""
    return _fits(_LINE, record)


def is_record(record: dict[str, Any]) -> bool:
    """Whether a line has all that a reader of its kind looks for."""
    return _fits(_SHAPES.get(record["kind"], _LINE), record)


def _fits(shape: TypeAdapter[Any], record: object) -> bool:
    try:
        shape.validate_python(record)
    except ValidationError:
        return False
    return True
