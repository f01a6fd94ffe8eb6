"""The tokenizer of a Hugging Face folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from luoxia.core.cells import read_settings
from luoxia.core.errors import LuoxiaError, MissingExtraError, UsageError
from luoxia.core.regular import text_of
from luoxia.media.text.learned import BYTES, UnigramTokenizer, library
from luoxia.media.text.tokenizer import Ids, Tokenizer, whole_characters

NAMED = {"pad": "pad_token", "bos": "bos_token", "eos": "eos_token", "unk": "unk_token"}
SETTINGS = ("special_tokens_map.json", "tokenizer_config.json")  # the later wins


class HuggingFaceTokenizer(Tokenizer):
    """What ``tokenizer.json`` describes, its ids unchanged.

    Unlike in ``transformers``, the names of special tokens in a text are text. ``prefix`` and ``suffix`` hold
    the tokens that the model's own template puts around a text ([CLS] … [SEP]).
    """

    kind = "huggingface"

    def __init__(self, model: Mapping[str, Any], named: Mapping[str, str]) -> None:
        self.model, self.named = dict(model), dict(named)
        self._backend = library().Tokenizer.from_str(json.dumps(self.model))
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = True  # as ordinary text
        self.vocabulary = max(self._backend.get_vocab(with_added_tokens=True).values()) + 1
        added = self._backend.get_added_tokens_decoder()
        self.specials = {token.content: index for index, token in added.items() if token.special}
        self.pad, self.bos, self.eos, self.unk = (self._id_of(name) for name in NAMED.values())
        self.prefix, self.suffix = self._template()
        reader, self.leading_space = _piece_reader(self.model)
        self._pieces = [reader(self._backend.id_to_token(token) or "") for token in range(self.vocabulary)]
        for index, token in added.items():
            self._pieces[index] = b"" if token.special else token.content.encode()

    @classmethod
    def open(cls, folder: Path, eos: int | None = None) -> HuggingFaceTokenizer:
        """Read a folder; see ``Tokenizer.from_huggingface``."""
        path = folder / "tokenizer.json"
        try:
            model = json.loads(text_of(path))
            named: dict[str, str] = {}
            for name in SETTINGS:
                named |= _named_tokens(read_settings(folder / name))
        except FileNotFoundError as error:
            raise UsageError(
                f"{folder} has no tokenizer.json: save the tokenizer there with save_pretrained"
            ) from error
        except (ValueError, OSError) as error:
            raise LuoxiaError(f"the tokenizer in {folder} cannot be read ({error}): copy it again") from error
        try:
            tokenizer = cls(model, named)
            if (
                tokenizer.eos is None
                and eos is not None
                and (name := tokenizer._backend.id_to_token(eos)) is not None
            ):
                return cls(model, named | {"eos_token": name})
            return tokenizer
        except MissingExtraError:
            raise
        except Exception as error:  # the library raises nothing more special
            raise LuoxiaError(f"{path} is not a tokenizer ({error}): copy it again") from error

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> HuggingFaceTokenizer:
        """The tokenizer that ``to_json`` described."""
        return cls(stored["model"], stored["named"])

    def to_json(self) -> dict[str, Any]:
        """All that ``load`` needs."""
        return {"kind": self.kind, "model": self.model, "named": self.named}

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text, by all cores."""
        whole = [whole_characters(text) for text in texts]
        encodings = self._backend.encode_batch_fast(whole, add_special_tokens=False)
        return [np.array(encoding.ids, np.uint32) for encoding in encodings]

    def encode_marked(self, text: str) -> list[int]:
        """The ids of a text that a template wrote, in which the names of special tokens are these tokens."""
        ids: list[int] = self._marking.encode(whole_characters(text), add_special_tokens=False).ids
        return ids

    @cached_property
    def _marking(self) -> Any:
        backend = library().Tokenizer.from_str(json.dumps(self.model))
        backend.no_padding()
        backend.no_truncation()
        return backend

    def _encode(self, text: str) -> Ids:
        return np.array(self._backend.encode(text, add_special_tokens=False).ids, np.uint32)

    def _bytes(self, token: int) -> bytes:
        return self._pieces[token]

    def _id_of(self, setting: str) -> int | None:
        name = self.named.get(setting)
        token: int | None = None if name is None else self._backend.token_to_id(name)
        return token

    def _template(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        marked = self._backend.encode("a", add_special_tokens=True)
        own = [index for index, mark in enumerate(marked.special_tokens_mask) if not mark]
        if not own:
            return (), ()
        return tuple(marked.ids[: own[0]]), tuple(marked.ids[own[-1] + 1 :])


def _named_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """The names of the special tokens, which stand there as strings or as objects with a content."""
    named = {}
    for setting in NAMED.values():
        value = settings.get(setting)
        name = value.get("content") if isinstance(value, dict) else value
        if isinstance(name, str):
            named[setting] = name
    return named


def _piece_reader(model: Mapping[str, Any]) -> tuple[Callable[[str], bytes], bool]:
    """How a piece of the vocabulary is written, and whether a decoded text begins with a space too many."""
    decoders = _flat(model.get("decoder"), "decoders")
    types = {part["type"] for part in decoders}
    if "ByteLevel" in types:
        return _read_byte_level, False
    if types & {"Metaspace", "ByteFallback"}:
        prepends = any(
            part["type"] == "Strip"
            or (part["type"] == "Metaspace" and part.get("prepend_scheme", "always") != "never")
            for part in decoders
        )
        return UnigramTokenizer.piece_bytes, prepends
    if "WordPiece" in types:
        return _read_word_piece, True
    return lambda piece: (" " + piece).encode(), True


def _flat(part: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    if part is None:
        return []
    return [inner for each in part[key] for inner in _flat(each, key)] if key in part else [part]


def _read_byte_level(piece: str) -> bytes:
    return b"".join(
        bytes([BYTES[character]]) if character in BYTES else character.encode() for character in piece
    )


def _read_word_piece(piece: str) -> bytes:
    return piece[2:].encode() if piece.startswith("##") else (" " + piece).encode()
