"""Chats as text: a list of messages, written by a model folder's own template or by a plain one."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

from luoxia.core.cells import kind_of_value, read_settings
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.regular import text_of

FIELDS = ("messages", "conversations")
"""What a field with a chat is called."""
ROLES = {"human": "user", "gpt": "assistant", "bing": "assistant", "chatgpt": "assistant"}
"""ShareGPT's names of who speaks, and everyone's."""
PLAIN_STOP = "\n\nuser:\n"
"""Where the other side would speak again, in the plain form."""
Message = dict[str, Any]


def messages_of(value: object) -> list[Message]:
    """The messages in a cell, each with ``role`` and ``content`` at least.

    Takes ``{"role", "content"}`` with a text, or a list of parts of text, as content; and ``{"from", "value"}``.

    Raises:
        ValueError: it is something else; the message says what.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"no list of messages but {kind_of_value(value)}")
    return [_message(each, number) for number, each in enumerate(value, 1)]


def _message(given: object, number: int) -> Message:
    if not isinstance(given, Mapping):
        raise ValueError(f"message {number}, which is not an object but {kind_of_value(given)}")
    role, content = given.get("role", given.get("from")), given.get("content", given.get("value"))
    if not isinstance(role, str):
        raise ValueError(f"message {number} without a role")
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" for part in content
    ):
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        what = (
            "without content"
            if content is None
            else f"with {kind_of_value(content)} as its content, not text"
        )
        raise ValueError(f"message {number} {what}")
    kept = {key: part for key, part in given.items() if key not in ("from", "value")}
    return {**kept, "role": ROLES.get(role, role), "content": content}


@dataclass(frozen=True)
class ChatTemplate:
    """How chats are written: by a Jinja template as Hugging Face's folders have it, or without one plainly.

    Plainly, a message is its role, a colon, a line end, its content, and an empty line.
    """

    source: str | None = None
    specials: dict[str, str] = field(default_factory=dict)  # "bos_token": its name, …

    @property
    def digest(self) -> str:
        """Stands for the template in fingerprints."""
        return sha256(json.dumps([self.source, self.specials], sort_keys=True).encode()).hexdigest()[:16]

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end a reply, besides the tokens that end a text."""
        return (PLAIN_STOP,) if self.source is None else ()

    @classmethod
    def of(cls, folder: Path) -> ChatTemplate:
        """That of a Hugging Face folder: ``chat_template.jinja``, else in ``tokenizer_config.json``; plain without.

        Raises:
            LuoxiaError: it cannot be read.
        """
        try:
            path = folder / "tokenizer_config.json"
            settings = read_settings(path)
            source = _template_in(settings)
            path = folder / "chat_template.jinja"
            source = text_of(path) if path.exists() else source
        except (OSError, ValueError) as error:
            raise LuoxiaError(f"the chat template {path} cannot be read ({error}): copy it again") from error
        if source is None:
            return cls()
        names = {name: value for name, value in settings.items() if name.endswith("_token")}
        words = {
            name: value.get("content") if isinstance(value, dict) else value for name, value in names.items()
        }
        return cls(source, {name: word for name, word in words.items() if isinstance(word, str)})

    def render(self, messages: Sequence[Message], *, reply: bool = False) -> str:
        """A chat as text; with ``reply`` up to where the assistant's answer begins.

        Raises:
            ValueError: the template refuses these messages.
        """
        if self.source is None:
            plain = "".join(f"{message['role']}:\n{message['content']}\n\n" for message in messages)
            return plain + "assistant:\n" * reply
        from jinja2 import TemplateError

        known = {"add_generation_prompt": reply, "tools": None, "documents": None, **self.specials}
        try:
            return str(self._template.render(messages=messages, **known))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            raise ValueError(f"the chat template refuses it: {error}") from error

    @cached_property
    def _template(self) -> Any:
        # As transformers compiles it: a template comes from elsewhere, and reaches nothing but what it is given.
        from jinja2 import TemplateError
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _generation()]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, strftime_now=_now)
        try:
            return environment.from_string(str(self.source))
        except TemplateError as error:
            raise ValueError(f"the chat template is invalid: {error}") from error


PLAIN = ChatTemplate()


def read_messages(given: object) -> list[Message]:
    """The messages that a person gives: a list, its JSON, or the name of a file with that; ``UsageError`` otherwise."""
    value = given
    if isinstance(given, str):
        try:
            text = given if given.lstrip().startswith(("[", "{")) else Path(given).read_text("utf-8")
            value = json.loads(text)
        except OSError as error:
            raise UsageError(f"messages={given} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise UsageError(
                f"messages={given[:80]} is no JSON ({error}): give a list of messages"
            ) from error
    if isinstance(value, dict):
        value = next((value[name] for name in FIELDS if name in value), value)
    try:
        return messages_of(value)
    except ValueError as reason:
        raise UsageError(
            f'messages= holds {reason}: give a list such as [{{"role": "user", "content": "Hello"}}]'
        ) from reason


def _template_in(settings: Mapping[str, Any]) -> str | None:
    """The template in ``tokenizer_config.json``, of several the one called default; ``ValueError`` for no text."""
    source = settings.get("chat_template")
    if isinstance(source, list):
        if not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in source):
            raise ValueError("each of several templates must be an object with name and template")
        source = {each["name"]: each.get("template") for each in source}.get("default")
    if not isinstance(source, str | None):
        raise ValueError(f"chat_template holds {kind_of_value(source)}, not a text")
    return source


def _generation() -> Any:
    """The tag {% generation %} around what the assistant says, which changes nothing in the text."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    return Generation


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **how: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **how)


def _refuse(reason: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(reason)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
