"""What a synthesizer of images can be asked for, as its config.json says it; known without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from luoxia.core.errors import UsageError
from luoxia.core.sentences import nearest
from luoxia.tasks.shared.classes import class_asked, class_number

_ALONE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(f"[{_ALONE}]|[^\\W{_ALONE}]+")
"""A word, or a character of a script that puts no spaces between words."""


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation.

    >>> words_of("A big, RED heart"), words_of("红心2")
    (['a', 'big', 'red', 'heart'], ['红', '心', '2'])
    """
    return _WORD.findall(text.casefold())


@dataclass(frozen=True)
class ConditionSpec:
    """The conditions that a model knows: a class, fields such as a style, a text; each may be left out.

    ``words``: those of a learned table, word i being id i + 1. ``encoder``: the fingerprint of a frozen text encoder,
    whose vectors have ``encoder_width`` numbers. ``text_length``: words or tokens of a text that are read.
    """

    classes: tuple[str, ...] = ()
    fields: tuple[tuple[str, tuple[str, ...]], ...] = ()
    text: Literal["", "words", "encoder"] = ""
    words: tuple[str, ...] = ()
    encoder: str = ""
    encoder_width: int = 0
    text_length: int = 16

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(name for name, _ in self.fields)

    @property
    def conditional(self) -> bool:
        """Whether it can be asked for anything."""
        return bool(self.classes or self.fields or self.text)

    def class_of(self, label: str | int | None) -> int | None:
        """The number of the class that is asked for; None for none. ``UsageError`` for one that it lacks."""
        asked = class_asked(label, self.classes)
        if asked is None:
            return None
        if not self.classes:
            raise UsageError(
                "label= needs a model that learned classes: train on data with labels, without condition=text"
            )
        return class_number(asked, self.classes)

    def values_of(self, fields: Mapping[str, str | None]) -> list[int | None]:
        """The number of each field's value; None where it is not asked for. ``UsageError`` for what it lacks."""
        known = dict(self.fields)
        for name, value in fields.items():
            if name not in known:
                told = (
                    f"; the fields of this model are {', '.join(known)}"
                    if known
                    else "; this model has no fields"
                )
                raise UsageError(f"unknown key '{name}'{nearest(name, known) or told}")
            if value is not None and str(value) not in known[name]:
                few = ", ".join(known[name][:12])
                raise UsageError(
                    f"{name}={value} is not a value that this model learned"
                    f"{nearest(str(value), known[name]) or f'; it knows {few}'}"
                )
        asked = [fields.get(name) for name in known]
        return [
            None if value is None else values.index(str(value))
            for value, values in zip(asked, known.values(), strict=True)
        ]

    def check_text(self, key: str, text: str | Sequence[str] | None) -> None:
        """``UsageError`` for a text that is asked of a model without, and for one that says nothing."""
        if text is None:
            return
        if not self.text:
            raise UsageError(
                f"{key}= needs a model that learned captions: put a .txt beside each image, or a column text into "
                "metadata.csv, and train again"
            )
        for one in [text] if isinstance(text, str) else text:
            if not words_of(one):
                raise UsageError(f"{key}= has no words: say what is to be seen")

    def unknown(self, texts: Sequence[str]) -> list[str]:
        """Words of the texts that were in no caption, each once; none with an encoder, which reads all."""
        if self.text != "words":
            return []
        known = set(self.words)
        return [
            word for word in dict.fromkeys(w for text in texts for w in words_of(text)) if word not in known
        ]

    def warning(self, texts: Sequence[str]) -> str:
        """The sentence that names the words of the texts that were in no caption; "" where all were."""
        words = self.unknown(texts)
        listed = ", ".join(words[:8])
        return (
            f"no caption of the training data has these words, which are left out: {listed}" if words else ""
        )
