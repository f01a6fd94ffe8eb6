"""What a text must keep to, in one slot: a form of verse, a JSON schema, or a grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from luoxia.core.errors import UsageError
from luoxia.core.names import expanded
from luoxia.decoding.constraints import Constraint, Grammar, Tokens
from luoxia.tasks.language_modeling.poems import Form, Poem, read_readings


class Rule(Protocol):
    """A constraint for one tokenizer, compiled once: ``Poem``, ``Grammar`` or ``Choices``."""

    def begin(self, prompt: str = "") -> Constraint:
        """The state of a fresh row that follows ``prompt``."""


def open_rule(
    tokenizer: Tokens,
    *,
    poem: str | None = None,
    readings: str | Path | None = None,
    schema: str | Path | None = None,
    grammar: str | Path | None = None,
) -> Rule | None:
    """The rule that is named, None where none is.

    Args:
        tokenizer: of the model that is to keep it.
        poem: a form of verse: 五言 or 七言 (four lines), 五绝, 七绝, 五律, 七律.
        readings: a table for ``poem`` (see ``read_readings``): lines rhyme, and 绝 and 律 follow the patterns of tones.
        schema: a file with a JSON schema.
        grammar: a file with a grammar in llguidance's Lark notation.

    Raises:
        UsageError: more than one is named, or it cannot be read or followed.
        LuoxiaError: the tokenizer cannot write what it asks.
    """
    named = {"poem": poem, "schema": schema, "grammar": grammar}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(f'{name}=' for name in given)} exclude each other: give one of them")
    if readings is not None and poem is None:
        raise UsageError("readings= belongs to poem=: name a form of verse")
    if poem is not None:
        return Poem(_form(poem, readings), tokenizer)
    if schema is not None:
        return Grammar.json_schema(_read("schema", schema), tokenizer)
    return None if grammar is None else Grammar.lark(_read("grammar", grammar), tokenizer)


def _form(name: str, readings: str | Path | None) -> Form:
    if readings is None:
        return Form.named(name)
    regulated = any(kind in name for kind in "绝絕律")
    return Form.named(name, rhyme=True, tones=regulated, readings=read_readings(readings))


def _read(key: str, path: str | Path) -> str:
    try:
        return expanded(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"{key}={path} cannot be read: {reason}") from error
