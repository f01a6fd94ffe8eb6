"""Tokenizers learned from text by the library ``tokenizers``: byte-level BPE and unigram.

The library never sees our special tokens: their ids come before its own, so it cannot find them in a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from luoxia.core.errors import MissingExtraError, UsageError
from luoxia.media.text.tokenizer import SPECIALS, Ids, OwnTokenizer, whole_characters

DEFAULT_VOCABULARY = 8192
SPACE = "▁"  # how unigram pieces write a space
FALLBACK_SCORE = -100.0  # of a byte that stands for part of an unknown character: the last resort
LONGEST_WORD = (
    256  # bytes that bpe merges over: its learning takes the square of a word, and a text may be one word
)


def library() -> Any:
    """The module ``tokenizers``; raises MissingExtraError where it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtraError("a tokenizer with a learned vocabulary", "text") from error
    return tokenizers


def byte_alphabet() -> dict[str, int]:
    """The character by which byte-level vocabularies write each byte (GPT-2's table).

    Printable bytes of Latin-1 stand for themselves, the others for U+0100 and on, in order.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + index): byte for index, byte in enumerate(others)}


BYTES = byte_alphabet()


class LearnedTokenizer(OwnTokenizer):
    """A model of the library, its ids moved up by the number of special tokens."""

    least: ClassVar[int]  # ordinary tokens that are always there

    def __init__(self, model: Mapping[str, Any], specials: Sequence[str] = ()) -> None:
        super().__init__(specials)
        self.model = dict(model)
        self._backend = library().Tokenizer.from_str(json.dumps(self.model))
        pieces = [self._backend.id_to_token(index) for index in range(self._backend.get_vocab_size())]
        self._pieces = [b""] * self.offset + [self.piece_bytes(piece) for piece in pieces]
        self.vocabulary = len(self._pieces)

    @classmethod
    def learn(cls, texts: Iterable[str], vocabulary: int | None, specials: Sequence[str]) -> LearnedTokenizer:
        """Learn the pieces from ``texts``."""
        vocabulary = DEFAULT_VOCABULARY if vocabulary is None else vocabulary
        room = vocabulary - len(SPECIALS) - len(specials)
        if room < cls.least:
            raise UsageError(
                f"a vocabulary of {vocabulary} is too small for {cls.kind}:"
                f" give at least {vocabulary - room + cls.least}"
            )
        return cls(cls.learn_model(_some(texts), room), specials)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> LearnedTokenizer:
        """The tokenizer that ``to_json`` described."""
        try:
            return cls(stored["model"], stored["specials"])
        except (MissingExtraError, KeyError, TypeError):
            raise
        except Exception as error:  # the library raises nothing more special
            raise ValueError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """All that ``load`` needs."""
        return {**super().to_json(), "model": self.model}

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text, by all cores."""
        whole = [self._before(whole_characters(text)) for text in texts]
        return [self._moved(encoding.ids) for encoding in self._backend.encode_batch_fast(whole)]

    @classmethod
    def learn_model(cls, texts: Iterable[str], room: int) -> dict[str, Any]:
        """Return the library's own JSON of a model with at most ``room`` pieces."""
        raise NotImplementedError

    @staticmethod
    def piece_bytes(piece: str) -> bytes:
        """Return what a piece of the vocabulary stands for."""
        raise NotImplementedError

    def _before(self, text: str) -> str:
        return text

    def _encode(self, text: str) -> Ids:
        return self._moved(self._backend.encode(self._before(text)).ids)

    def _moved(self, ids: list[int]) -> Ids:
        return np.array(ids, np.uint32) + np.uint32(self.offset)

    def _bytes(self, token: int) -> bytes:
        return self._pieces[token]


class BPETokenizer(LearnedTokenizer):
    """Byte pair encoding over bytes (Sennrich et al. 2016; Radford et al. 2019): any text is exact."""

    kind = "bpe"
    least = 256

    @classmethod
    def learn_model(cls, texts: Iterable[str], room: int) -> dict[str, Any]:
        """Return the library's own JSON of a model with at most ``room`` pieces."""
        lib = library()
        backend = lib.Tokenizer(lib.models.BPE())
        words = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
        pieces = lib.pre_tokenizers.Split(lib.Regex(f".{{1,{LONGEST_WORD}}}"), "isolated")
        backend.pre_tokenizer = lib.pre_tokenizers.Sequence([words, pieces])
        backend.decoder = lib.decoders.ByteLevel()
        trainer = lib.trainers.BpeTrainer(
            vocab_size=room, show_progress=False, initial_alphabet=sorted(BYTES)
        )
        backend.train_from_iterator(texts, trainer)
        model: dict[str, Any] = json.loads(backend.to_str())
        return model

    @staticmethod
    def piece_bytes(piece: str) -> bytes:
        """Return what a piece of the vocabulary stands for."""
        return bytes(BYTES[character] for character in piece)


class UnigramTokenizer(LearnedTokenizer):
    """The most probable split into pieces (Kudo 2018), as SentencePiece does it.

    A space goes with the word after it, and one is put before the text so that its first word is a word like
    any other. Characters unknown to the vocabulary are spelled in bytes, so any text is exact, but for U+2581,
    the sign for the space, which comes back as a space.
    """

    kind = "unigram"
    leading_space = True
    least = 257  # the bytes, and one piece

    @classmethod
    def learn_model(cls, texts: Iterable[str], room: int) -> dict[str, Any]:
        """Return the library's own JSON of a model with at most ``room`` pieces."""
        lib = library()
        backend = lib.Tokenizer(lib.models.Unigram())
        backend.pre_tokenizer = lib.pre_tokenizers.Sequence(
            [
                lib.pre_tokenizers.Split("\n", "isolated"),
                lib.pre_tokenizers.Metaspace(SPACE, prepend_scheme="never"),
            ]
        )
        trainer = lib.trainers.UnigramTrainer(vocab_size=room - 256, show_progress=False)
        try:
            backend.train_from_iterator((" " + text for text in texts), trainer)
        except Exception as error:
            if "not large enough" not in str(error):
                raise
            raise UsageError(
                "the vocabulary is smaller than the number of different characters in the text:"
                " raise it, or take bpe, which needs no room for characters"
            ) from error
        model: dict[str, Any] = json.loads(backend.to_str())
        spelled = [f"<0x{byte:02X}>" for byte in range(256)]
        learned = [pair for pair in model["model"]["vocab"] if pair[0] not in spelled]
        vocabulary = [[name, FALLBACK_SCORE] for name in spelled] + _in_fixed_order(learned)
        model["model"] |= {"vocab": vocabulary, "unk_id": 0, "byte_fallback": True}
        return model

    @staticmethod
    def piece_bytes(piece: str) -> bytes:
        """Return what a piece of the vocabulary stands for."""
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return piece.replace(SPACE, " ").encode()

    def _before(self, text: str) -> str:
        return " " + text if text else text


def _in_fixed_order(pieces: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Make the model a function of the text.

    The library gives characters that were pruned, but are needed, the lowest scores in the order of a hash
    map, which differs from process to process; here the order of their code points decides. It also adds up
    in that order, so that the last digits differ: they are rounded off.
    """
    pieces = [(piece, round(score, 6)) for piece, score in pieces]
    floor = min((score for piece, score in pieces if len(piece) > 1), default=0.0) + 1e-4 * len(pieces)
    rare = [(piece, score) for piece, score in pieces if len(piece) == 1 and score < floor]
    others = [(piece, score) for piece, score in pieces if len(piece) > 1 or score >= floor]
    characters = sorted(piece for piece, _ in rare)
    scores = sorted((score for _, score in rare), reverse=True)
    fixed = [*others, *zip(characters, scores, strict=True)]
    return [[piece, score] for piece, score in sorted(fixed, key=lambda pair: (-pair[1], pair[0]))]


def _some(texts: Iterable[str]) -> Iterable[str]:
    """The texts; raises UsageError when there is none."""
    iterator = (text for text in texts if text)
    first = next(iterator, None)
    if first is None:
        raise UsageError("a tokenizer cannot learn from no text: give some")
    yield first
    yield from iterator
