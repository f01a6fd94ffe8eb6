"""Typed configuration: a pydantic model whose errors are sentences, and which reads names of before."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from luoxia.core.errors import UsageError
from luoxia.core.old_names import reworded, table_of, words_in
from luoxia.core.sections import merge
from luoxia.core.sentences import sentence, types_of, unknown_key
from luoxia.core.values import plain

P = ParamSpec("P")
Made = TypeVar("Made")


def _fields(model: type) -> dict[str, Any]:
    return dict(model.model_fields) if issubclass(model, BaseModel) and model is not BaseModel else {}


class Config(BaseModel):
    """A typed section of a configuration.

    A section with a ``name`` can be given by that name alone. A section given in part keeps the rest of its default.
    A subclass that gives a field a new default, as in ``width: int = 32``, keeps the field's bounds and description.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_default=True,
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,  # its validator is built when it is first used: the command line uses few of all classes
    )

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of before → their names now. The old ones are read until 1.0; a subclass names its own alone."""
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """The same for the words that keys take: key → old word → new word."""

    main_keys: ClassVar[tuple[str, ...]] = ()
    """The keys that most people change, which ``--help`` shows; () means all."""
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Heading → keys, for the list of all keys; a subclass names its own alone."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        inherited = {
            name: field for base in reversed(cls.__mro__[1:]) for name, field in _fields(base).items()
        }
        for old, new in table_of(cls, "renamed").items():
            if old in cls.model_fields and new in cls.model_fields:  # a class of one's own, from before
                cls.model_fields[new].default = cls.model_fields.pop(old).default
        for name, field in cls.model_fields.items():
            if field.description is None and name in inherited:
                field.description, field.metadata = inherited[name].description, inherited[name].metadata

    if not TYPE_CHECKING:  # for which any attribute would be there

        def __getattr__(self, name: str) -> Any:
            """An attribute under its name of before, for code of one's own."""
            new = table_of(type(self), "renamed").get(name)
            return getattr(self, new) if new else super().__getattr__(name)

    @model_validator(mode="before")
    @classmethod
    def _complete_sections(cls, value: Any) -> Any:
        if isinstance(value, str) and "name" in cls.model_fields:
            return {"name": value}
        if not isinstance(value, Mapping):
            return value
        complete: dict[Any, Any] = {key: plain(given) for key, given in cls.current(value).items()}
        for name, field in cls.model_fields.items():
            kinds = types_of(field.annotation)
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
        cls, settings: Mapping[str, Any], tell: Callable[[str], None] | None = None, section_name: str = ""
    ) -> dict[str, Any]:
        """``settings`` under the names that keys and words have now, in sections too; ``tell`` hears of old ones.

        ``section_name`` is what stands before these keys, such as ``optimizer.``.
        """
        names, words = table_of(cls, "renamed"), table_of(cls, "renamed_values")
        found: dict[str, Any] = {}
        for key, value in settings.items():
            name = names[key] if key in names and key not in cls.model_fields else key
            section = cls.model_fields[name].default if name in cls.model_fields else None
            if isinstance(section, Config) and isinstance(value, Mapping):
                value = type(section).current(value, tell, f"{section_name}{name}.")
            old = words_in(value) & words[name].keys() if name in words else set()
            new = reworded(value, words[name]) if old else value
            if tell and name != key:
                tell(f"{section_name}{key}= is now {section_name}{name}=; the old name works until 1.0")
            for word in sorted(old):
                if tell:
                    full, now = f"{section_name}{name}", words[name][word]
                    tell(f"{full}={word} is now {full}={now}; the old value works until 1.0")
            found = merge(found, {name: new})
        return found

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Any:
        """Build from nested settings; ``UsageError`` names the key, what is wrong and what would be right."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise UsageError(sentence(cls, error)) from error


def refuse_unknown(given: Iterable[str], known: Sequence[str]) -> None:
    """``UsageError`` for the first key that is not known, with those that look like it."""
    for key in given:
        if key not in known:
            raise UsageError(unknown_key(key, known))


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
