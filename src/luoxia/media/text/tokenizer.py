"""Text ↔ token ids: the interface, and the two tokenizers that need no library."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.regular import text_of
from luoxia.core.sentences import nearest

FILE = "tokeniser.json"
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
SEPARATOR = "<sep>"
REPLACEMENT = "\ufffd"
Ids = NDArray[np.uint32]


class Tokenizer:
    """Turns text into token ids and back.

    Special tokens have ids and names, but no text: they decode to nothing, and where a text holds their names
    it is encoded as any other text, so that nobody can end a document, or slip out of a prompt, by writing
    ``<eos>``. Half surrogate pairs, which are no text, are encoded as U+FFFD.
    """

    kind: str
    vocabulary: int  # number of ids
    specials: dict[str, int]  # name → id
    pad: int | None
    bos: int | None
    eos: int | None
    unk: int | None
    prefix: tuple[int, ...] = ()  # what a foreign model expects before each text
    suffix: tuple[int, ...] = ()  # … and after
    leading_space: bool = False  # whether the first token brings a space that is not in the text

    @property
    def sep(self) -> int | None:
        """What stands between the condition and the text, if there is such a token."""
        return self.specials.get(SEPARATOR)

    @property
    def digest(self) -> str:
        """Hex digest of all that decides the ids."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:32]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without any marks before or after."""
        ids: list[int] = self.encode_array(text).tolist()
        return ids

    def encode_array(self, text: str) -> Ids:
        """Return the ids as uint32 (length,)."""
        return self._encode(whole_characters(text))

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text."""
        return [self.encode_array(text) for text in texts]

    def encode_marked(self, text: str) -> list[int]:
        """The ids of a text that a template wrote, in which the names of special tokens are these tokens."""
        return self.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text; bytes that are no character become U+FFFD.

        Raises:
            UsageError: an id is outside the vocabulary.
        """
        text = b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")
        return text.removeprefix(" ") if self.leading_space else text

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes a token stands for; none for a special one.

        Raises:
            UsageError: it is outside the vocabulary.
        """
        if not 0 <= token < self.vocabulary:
            raise UsageError(f"token {token} is outside the vocabulary of {self.vocabulary:,}")
        return self._bytes(int(token))

    def byte_lengths(self) -> NDArray[np.int64]:
        """How many bytes each token stands for, int64 (vocabulary,): for bits per byte."""
        return np.array([len(self._bytes(token)) for token in range(self.vocabulary)], np.int64)

    def save(self, folder: str | Path) -> Path:
        """Write ``tokeniser.json`` and return its path."""
        path = Path(folder) / FILE
        path.write_text(json.dumps(self.to_json(), ensure_ascii=False), "utf-8")
        return path

    def to_json(self) -> dict[str, Any]:
        """All that ``load`` needs."""
        raise NotImplementedError

    @staticmethod
    def train(
        kind: str,
        texts: Iterable[str] = (),
        vocabulary: int | None = None,
        *,
        specials: Sequence[str] = (),
    ) -> Tokenizer:
        """Learn a tokenizer.

        Args:
            kind: "byte" (needs no text), "character", "bpe" (byte-level) or "unigram".
            texts: what to learn from.
            vocabulary: the greatest number of ids, all counted. None: 8,192 for bpe and unigram, every
                character for character.
            specials: names of further special tokens, such as "<sep>".

        Raises:
            UsageError: an unknown kind, a vocabulary too small, or no text.
        """
        learners = _learners()
        if kind not in learners:
            hint = nearest(kind, learners) or f"; known are {', '.join(learners)}"
            raise UsageError(f"unknown tokenizer '{kind}'{hint}")
        for name in specials:
            if name in SPECIALS or list(specials).count(name) > 1 or not name:
                raise UsageError(f"the special token '{name}' already exists: give each name once")
        if isinstance(texts, str):
            raise UsageError("a tokenizer learns from a list of texts, not from a single one")
        learned: Tokenizer = learners[kind].learn(map(whole_characters, texts), vocabulary, specials)
        return learned

    @staticmethod
    def load(folder: str | Path) -> Tokenizer:
        """Read what ``save`` wrote.

        Raises:
            LuoxiaError: there is none, or it is damaged.
        """
        path = Path(folder) / FILE
        try:
            stored = json.loads(text_of(path))
            return _loaders()[stored["kind"]].from_json(stored)
        except FileNotFoundError as error:
            raise LuoxiaError(f"{folder} has no tokenizer ({FILE} is missing): give a trained run") from error
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise LuoxiaError(f"{path} is damaged ({error}): copy it again") from error

    @staticmethod
    def from_huggingface(folder: str | Path, eos: int | None = None) -> Tokenizer:
        """Read ``tokenizer.json`` of a Hugging Face folder; ``eos`` ends a text where its settings name no token.

        Raises:
            UsageError: there is none.
            LuoxiaError: it is damaged.
        """
        from luoxia.media.text.huggingface import HuggingFaceTokenizer

        return HuggingFaceTokenizer.open(Path(folder), eos)

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int | None, specials: Sequence[str]) -> Tokenizer:
        """Learn one of this kind; see ``train``."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer that ``to_json`` described."""
        raise NotImplementedError

    def _encode(self, text: str) -> Ids:
        raise NotImplementedError

    def _bytes(self, token: int) -> bytes:
        raise NotImplementedError


class OwnTokenizer(Tokenizer):
    """One whose special tokens come first: <pad> 0, <bos> 1, <eos> 2, <unk> 3, then further ones."""

    pad, bos, eos, unk = range(4)

    def __init__(self, specials: Sequence[str] = ()) -> None:
        names = [*SPECIALS, *specials]
        self.specials = {name: token for token, name in enumerate(names)}
        self.offset = len(names)  # the id of the first ordinary token

    def to_json(self) -> dict[str, Any]:
        """All that ``load`` needs."""
        return {"kind": self.kind, "specials": list(self.specials)[len(SPECIALS) :]}


class ByteTokenizer(OwnTokenizer):
    """A token a byte of UTF-8."""

    kind = "byte"

    def __init__(self, specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self.vocabulary = self.offset + 256

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int | None, specials: Sequence[str]) -> ByteTokenizer:
        """Nothing to learn."""
        tokenizer = cls(specials)
        if vocabulary not in (None, tokenizer.vocabulary):
            raise UsageError(
                f"the byte tokenizer has a vocabulary of {tokenizer.vocabulary}, not {vocabulary}"
            )
        return tokenizer

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ByteTokenizer:
        """The tokenizer that ``to_json`` described."""
        return cls(stored["specials"])

    def _encode(self, text: str) -> Ids:
        return np.frombuffer(text.encode(), np.uint8).astype(np.uint32) + np.uint32(self.offset)

    def _bytes(self, token: int) -> bytes:
        return bytes([token - self.offset]) if token >= self.offset else b""


class CharacterTokenizer(OwnTokenizer):
    """A token a character (Unicode code point); unknown ones are <unk>, which decodes as U+FFFD."""

    kind = "character"

    def __init__(self, characters: str, specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self.characters = characters
        self.vocabulary = self.offset + len(characters)
        self._ids = np.full(0x110000, self.unk, np.uint32)
        self._ids[_code_points(characters)] = np.arange(self.offset, self.vocabulary, dtype=np.uint32)

    @classmethod
    def learn(
        cls, texts: Iterable[str], vocabulary: int | None, specials: Sequence[str]
    ) -> CharacterTokenizer:
        """Take all characters, or the most frequent ones."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        if not counts:
            raise UsageError("a tokenizer cannot learn from no text: give some")
        room = len(counts) if vocabulary is None else vocabulary - len(SPECIALS) - len(specials)
        if room < 1:
            raise UsageError(f"a vocabulary of {vocabulary} leaves no room for characters: raise it")
        frequent = sorted(counts, key=lambda character: (-counts[character], character))[:room]
        return cls("".join(sorted(frequent)), specials)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CharacterTokenizer:
        """The tokenizer that ``to_json`` described."""
        return cls(stored["characters"], stored["specials"])

    def to_json(self) -> dict[str, Any]:
        """All that ``load`` needs."""
        return {**super().to_json(), "characters": self.characters}

    def _encode(self, text: str) -> Ids:
        ids: Ids = self._ids[_code_points(text)]
        return ids

    def _bytes(self, token: int) -> bytes:
        if token == self.unk:
            return REPLACEMENT.encode()
        return self.characters[token - self.offset].encode() if token >= self.offset else b""


def _learners() -> dict[str, type[Tokenizer]]:
    from luoxia.media.text.learned import BPETokenizer, UnigramTokenizer

    kinds = (ByteTokenizer, CharacterTokenizer, BPETokenizer, UnigramTokenizer)
    return {kind.kind: kind for kind in kinds}


def _loaders() -> dict[str, type[Tokenizer]]:
    from luoxia.media.text.huggingface import HuggingFaceTokenizer

    return {**_learners(), HuggingFaceTokenizer.kind: HuggingFaceTokenizer}


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))


def whole_characters(text: str) -> str:
    """The text with U+FFFD for half surrogate pairs, which no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(REPLACEMENT if "\ud800" <= character <= "\udfff" else character for character in text)
    return text
