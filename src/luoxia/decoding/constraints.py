"""What may be generated: JSON of a schema, texts of a grammar, one of several texts.

A constraint says which tokens may come next and learns which one came. It knows tokens by their bytes, so that
it holds for any tokenizer, also where a character is spread over tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from luoxia.core.errors import LANGUAGE, LuoxiaError, MissingExtraError, UsageError


class Constraint(Protocol):
    """The state of one row. Tokens that end a row are not its business: ``may_end`` says when they may come."""

    @property
    def may_end(self) -> bool:
        """Whether the text is whole as it stands."""

    def mask(self) -> Tensor:
        """The tokens that may follow, (v,) bool; all False where the text is whole and nothing can follow.

        Raises LuoxiaError where the text is not whole and no token can follow.
        """

    def accept(self, token: int) -> None:
        """The next token came; it was one of those allowed."""


class Tokens(Protocol):
    """What constraints ask of a tokenizer."""

    vocabulary: int
    unk: int | None

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, none for a special one."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""


def spellings(tokenizer: Tokens) -> list[bytes]:
    """The bytes of every token; none for those that stand for no text of their own."""
    return [
        b"" if token == tokenizer.unk else tokenizer.token_bytes(token)
        for token in range(tokenizer.vocabulary)
    ]


def by_spelling(spelling: Sequence[bytes]) -> dict[bytes, list[int]]:
    """The tokens of each sequence of bytes."""
    pieces: dict[bytes, list[int]] = {}
    for token, piece in enumerate(spelling):
        if piece:
            pieces.setdefault(piece, []).append(token)
    return pieces


def finishing(text: bytes, pieces: Mapping[bytes, object]) -> list[bool]:
    """Whether ``pieces`` can spell the rest of a text, from each of its bytes on and from its end: (length + 1)."""
    longest = max(map(len, pieces), default=0)
    ways = [False] * len(text) + [True]
    for at in range(len(text) - 1, -1, -1):
        ends = range(at + 1, min(at + longest, len(text)) + 1)
        ways[at] = any(ways[end] and text[at:end] in pieces for end in ends)
    return ways


def spell(text: bytes, pieces: Mapping[bytes, Sequence[int]]) -> list[int]:
    """The fewest tokens of a text, or of as much of its beginning as can be spelled."""
    longest = max(map(len, pieces), default=0)
    found: list[list[int] | None] = [[]] + [None] * len(text)  # of each beginning of the text
    for end in range(1, len(text) + 1):
        begun = [(found[at], text[at:end]) for at in range(max(0, end - longest), end)]
        ways = [[*ids, pieces[piece][0]] for ids, piece in begun if ids is not None and piece in pieces]
        found[end] = min(ways, key=len, default=None)
    return next(ids for ids in reversed(found) if ids is not None)


class Grammar:
    """A JSON schema or a Lark grammar, compiled once for a tokenizer by llguidance; ``begin()`` is one row's state.

    An invalid one, or one that nothing can meet, raises UsageError.
    """

    def __init__(self, grammar: str, tokenizer: Tokens, kind: str) -> None:
        library = _llguidance()
        self.kind = kind
        self.end = tokenizer.vocabulary  # a token of our own: not every tokenizer has one that ends
        self._matcher = library.LLMatcher
        self._tokens = library.LLTokenizer(
            library.TokenizerWrapper(_Wrapped(tokenizer)), n_vocab=self.end + 1
        )
        self._grammar = grammar
        error = self._matcher.validate_grammar(grammar, self._tokens)
        if error:
            raise UsageError(f"this {kind} cannot be followed ({_first_line(error)}): correct it")
        self.begin().mask()

    @classmethod
    def json_schema(cls, schema: str | dict[str, Any], tokenizer: Tokens) -> Grammar:
        """Texts that are JSON of a schema, without spaces between its parts."""
        library = _llguidance()
        try:
            parsed = json.loads(schema) if isinstance(schema, str) else schema
            grammar = library.LLMatcher.grammar_from_json_schema(
                parsed, overrides={"whitespace_flexible": False}
            )
        except ValueError as error:
            raise UsageError(f"the JSON schema is no JSON ({_first_line(str(error))}): correct it") from error
        return cls(grammar, tokenizer, "JSON schema")

    @classmethod
    def lark(cls, grammar: str, tokenizer: Tokens) -> Grammar:
        """Texts that a grammar in Lark's notation derives from its rule ``start``."""
        return cls(_llguidance().LLMatcher.grammar_from_lark(grammar), tokenizer, "grammar")

    def begin(self, prompt: str = "") -> Constraint:
        """A fresh row; what it writes after ``prompt`` is by itself a text of the grammar."""
        return _Matched(self._matcher(self._tokens, self._grammar), self.kind, self.end)


class _Matched:
    """One row's llguidance matcher."""

    def __init__(self, matcher: Any, kind: str, end: int) -> None:
        self.matcher, self.kind, self.end = matcher, kind, end

    @property
    def may_end(self) -> bool:
        return bool(self.matcher.is_accepting())

    def mask(self) -> Tensor:
        allowed = np.frombuffer(self.matcher.compute_logit_bias(), np.uint8)[: self.end] != 0
        # Where no token spells the bytes that must come next, the library allows every token, and then takes none.
        if self.matcher.is_error() or (
            allowed.any() and not self.matcher.validate_tokens([allowed.argmax()])
        ):
            raise unmet(self.kind)
        return torch.from_numpy(allowed)

    def accept(self, token: int) -> None:
        if not self.matcher.consume_token(token):
            raise unmet(self.kind)


class _Wrapped:
    """A tokenizer as llguidance wants it, with one token more, which ends."""

    def __init__(self, tokenizer: Tokens) -> None:
        self.tokens = [*spellings(tokenizer), b""]
        self.special_token_ids = [token for token, spelling in enumerate(self.tokens) if not spelling]
        self.eos_token_id, self.bos_token_id = tokenizer.vocabulary, None
        self._encode, self._pieces = tokenizer.encode, by_spelling(self.tokens)

    def __call__(self, text: str) -> list[int]:
        """The tokens of what must come next: those the tokenizer gives, unless it changes the text."""
        ids, wanted = self._encode(text), text.encode()
        unchanged = b"".join(self.tokens[token] for token in ids) == wanted
        return ids if unchanged else spell(wanted, self._pieces)


class Choices:
    """One of several texts; ``begin()`` is one row's state.

    Only ways of spelling a text that the vocabulary can finish are entered. A text that it cannot spell raises
    UsageError.
    """

    def __init__(self, texts: Sequence[str], tokenizer: Tokens) -> None:
        if isinstance(texts, str) or not texts or not all(texts):
            raise UsageError("choices are a list of one text or more, none of them empty")
        self.vocabulary = tokenizer.vocabulary
        self.spelling = spellings(tokenizer)
        self.pieces = by_spelling(self.spelling)
        self.texts = [text.encode() for text in texts]
        self.finishing = [finishing(text, self.pieces) for text in self.texts]
        for text, ways in zip(texts, self.finishing, strict=True):
            if not ways[0]:
                raise UsageError(f"the choice '{text}' cannot be spelled with this tokenizer: leave it out")

    def begin(self, prompt: str = "") -> Constraint:
        """A fresh row; what it writes after ``prompt`` is one of the texts."""
        return _Choosing(self)


class _Choosing:
    """How far one row has come in its choice."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.text = b""

    @property
    def may_end(self) -> bool:
        return self.text in self.choices.texts

    def mask(self) -> Tensor:
        allowed = torch.zeros(self.choices.vocabulary, dtype=torch.bool)
        at = len(self.text)
        for text, ways in zip(self.choices.texts, self.choices.finishing, strict=True):
            if text.startswith(self.text):
                for end in range(at + 1, len(text) + 1):
                    if ways[end] and text[at:end] in self.choices.pieces:
                        allowed[self.choices.pieces[text[at:end]]] = True
        return allowed

    def accept(self, token: int) -> None:
        self.text += self.choices.spelling[token]


def unmet(kind: str) -> LuoxiaError:
    """What is said where a row has come to a place that no token leads out of."""
    return LuoxiaError(
        f"the {kind} cannot be met: this tokenizer has no token that could come next; "
        "loosen it or use a tokenizer that spells its characters"
    )


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError("a JSON schema or a grammar", LANGUAGE) from error
    return llguidance


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(".")
