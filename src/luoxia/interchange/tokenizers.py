"""Tokenizers as ``tokenizer.json``: those that were read from one, and our byte and BPE tokenizers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luoxia.interchange.config import Config
from luoxia.media.text.huggingface import NAMED, HuggingFaceTokenizer
from luoxia.media.text.learned import BYTES, BPETokenizer
from luoxia.media.text.tokenizer import ByteTokenizer, OwnTokenizer, Tokenizer

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
)
"""What belongs to the tokenizer and its use; copied from the folder that the network came from."""


def end_tokens(folder: Path) -> tuple[int, ...]:
    """The tokens that end a text in ``folder``: those of generation_config.json, else those of config.json.

    transformers asks in this order; () where both are silent, and the tokenizer's own counts.
    """
    for name in ("generation_config.json", "config.json"):
        if (folder / name).is_file():
            config = Config(folder / name)
            value = config.get("eos_token_id")
            tokens = value if isinstance(value, list) else [] if value is None else [value]
            if not all(type(token) is int for token in tokens):
                raise config.wrong("eos_token_id", "a token's number or a list of them")
            if tokens:
                return tuple(tokens)
    return ()


def special_ids(tokenizer: Tokenizer | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of config.json that name the special tokens; null where there is none."""
    keys = ("bos", "eos", "pad")
    if tokenizer is None:
        return {f"{key}_token_id": config.get(f"{key}_token_id") for key in keys}
    return {f"{key}_token_id": getattr(tokenizer, key) for key in keys}


def write_tokenizer(folder: Path, tokenizer: Tokenizer | None, source: Path | None) -> None:
    """Write ``tokenizer.json`` and its settings, or copy those of ``source``.

    A character or unigram tokenizer of ours is written as ``tokeniser.json``, which only Luoxia reads.
    """
    if tokenizer is None:
        for name in FILES if source else ():
            if source and (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
    elif isinstance(tokenizer, HuggingFaceTokenizer):
        _write(folder, tokenizer.model, dict(tokenizer.named))
    elif isinstance(tokenizer, ByteTokenizer | BPETokenizer):
        names = {index: name for name, index in tokenizer.specials.items()}
        ids = {setting: getattr(tokenizer, key) for key, setting in NAMED.items()}
        _write(folder, byte_level(tokenizer), {setting: names[token] for setting, token in ids.items()})
    else:
        tokenizer.save(folder)


def _write(folder: Path, model: Mapping[str, Any], named: Mapping[str, str]) -> None:
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **named}
    for name, content in (("tokenizer.json", model), ("tokenizer_config.json", settings)):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def byte_level(tokenizer: OwnTokenizer) -> dict[str, Any]:
    """A byte-level BPE model with our ids: the special tokens first, then the pieces; bytes alone merge nothing."""
    pieces: dict[str, int] = BYTES
    merges: list[Any] = []
    if isinstance(tokenizer, BPETokenizer):
        pieces, merges = tokenizer.model["model"]["vocab"], tokenizer.model["model"]["merges"]
    ordinary = {piece: index + tokenizer.offset for piece, index in pieces.items()}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": name, **flags} for name, index in tokenizer.specials.items()
        ],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {**tokenizer.specials, **ordinary},
            "merges": merges,
        },
    }
