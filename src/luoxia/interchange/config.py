"""A model's ``config.json``, read by allow-list: every value has its type, its bounds and its family's default.

A key changes what the network computes unless it is known not to. So each key is read, or known to be harmless, or
empty; all others are refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from luoxia.core.errors import LuoxiaError
from luoxia.interchange.tensors import read_json

LARGEST = 2**31
LONGEST = 2**20
"""Tokens of the longest context: its table of rotations is made before a single weight is read."""

HARMLESS = frozenset([
    "model_type", "architectures", "transformers_version", "transformers_weights", "transformers.js_config",
    "torch_dtype", "dtype", "auto_map", "_name_or_path", "name_or_path", "_commit_hash", "attn_implementation",
    "_attn_implementation", "_attn_implementation_autoset", "initializer_range", "use_cache", "output_past",
    "gradient_checkpointing", "output_attentions", "output_hidden_states", "output_scores",
    "output_router_logits", "return_dict", "return_dict_in_generate", "torchscript", "tf_legacy_loss",
    "use_bfloat16", "chunk_size_feed_forward", "pretraining_tp", "cache_implementation", "bos_token_id",
    "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "cls_token_id", "mask_token_id",
    "decoder_start_token_id", "tokenizer_class", "prefix", "max_sequence_length", "model_max_length",
    "task_specific_params", "finetuning_task", "problem_type", "id2label", "label2id", "num_labels",
    "_num_labels", "classifier_dropout", "max_length", "min_length", "max_new_tokens", "do_sample",
    "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p",
    "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "forced_bos_token_id",
    "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
    "begin_suppress_tokens", "unsloth_fixed", "unsloth_version", "is_llama_config",
])  # fmt: skip
"""Keys that change no logits: where the folder comes from, its training, its special tokens, how it is sampled."""

NEUTRAL: dict[str, object] = {
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "logits_scaling": 1.0,
    "logit_scale": 1.0,
}
"""Keys of kindred architectures that change nothing at this value."""


class Config:
    """The values of a ``config.json``; ``LuoxiaError`` names the key that is wrong and the file."""

    def __init__(self, path: Path, values: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.values = read_json(path) if values is None else dict(values)
        self._read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The raw value; ``default`` where the key is missing."""
        self._read.add(key)
        return self.values.get(key, default)

    def refuse_unread(self, of: str, harmless: Collection[str] = ()) -> None:
        """Refuse the keys that nothing has read, unless they are harmless or empty; ``of``: whose they would be."""
        for key, value in self.values.items():
            known = key in self._read or key in HARMLESS or key in harmless
            if not (known or _empty(value) or NEUTRAL.get(key) == value):
                raise LuoxiaError(
                    f"{self.path}: {key}={str(value)[:60]} is not a setting of {of} that Luoxia knows, and may change "
                    "what the model computes: remove the key if it does not"
                )

    def wrong(self, key: str, must: str) -> LuoxiaError:
        """The error of one key."""
        return LuoxiaError(f"{self.path}: {key} must be {must}, not {str(self.values.get(key))[:60]!r}")

    def size(
        self, key: str, default: int | None = None, *, null: int | None = None, most: int = LARGEST
    ) -> int:
        """A whole number from 1; required without a ``default``. ``null``: what null stands for, where it may."""
        value = self.get(key, default)
        value = null if value is None else value
        if type(value) is not int or not 1 <= value <= most:
            raise self.wrong(key, f"a whole number from 1 to {most:,}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A positive number; required without a ``default``."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.wrong(key, "a positive number")
        return float(value)

    def share(self, key: str) -> float:
        """A number from 0 to 1, such as a dropout; 0 by default."""
        value = self.get(key, 0.0)
        value = 0.0 if value is None else value
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise self.wrong(key, "a number from 0 up to 1")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.get(key, default)
        if type(value) is not bool:
            raise self.wrong(key, "true or false")
        return value

    def one_of(self, key: str, table: Mapping[str, str], default: str) -> str:
        """What ``table`` says of the value."""
        value = self.get(key, default)
        if not isinstance(value, str) or value not in table:
            raise self.wrong(key, f"one of {', '.join(table)}")
        return table[value]

    def only(self, **supported: object) -> None:
        """Refuse every other value of these keys: settings that would change the network and are not built."""
        for key, value in supported.items():
            if self.get(key, value) not in (value, None):
                raise LuoxiaError(
                    f"{self.path}: {key}={str(self.values[key])[:60]} is not supported, only {key}={value} is"
                )

    def without(self, *keys: str) -> None:
        """Refuse these keys unless they are empty: what is known not to be built."""
        for key in keys:
            if not _empty(self.get(key)):
                raise LuoxiaError(f"{self.path}: {key}={str(self.values[key])[:60]} is not supported")


def _empty(value: object) -> bool:
    return value is None or value is False or value in ("", [], {})


def rope(config: Config) -> dict[str, Any]:
    """The rotary part of a `TransformerConfig`, from ``rope_parameters`` or the older ``rope_theta`` and
    ``rope_scaling``.

    Where both stand, ``rope_scaling`` counts, as in transformers.
    """
    outer = {key: config.get(key) for key in ROPE}
    scaling: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if value is not None and not isinstance(value, dict):
            raise config.wrong(key, "an object")
        scaling = scaling or value or {}
    inner = Config(config.path, {key: value for key, value in outer.items() if value is not None} | scaling)
    inner.only(partial_rotary_factor=1.0)
    kind = inner.get("rope_type", inner.get("type", "default"))
    theta = {"rope_theta": inner.number("rope_theta", 10_000.0)}
    if kind == "linear":
        theta["rope_factor"] = inner.number("factor")
    elif kind == "llama3":
        if outer["original_max_position_embeddings"] is not None:  # it counts before that of the object
            inner.values["original_max_position_embeddings"] = outer["original_max_position_embeddings"]
        theta |= _llama3(inner, config.get("max_position_embeddings"))
    elif kind != "default":
        raise LuoxiaError(
            f"{config.path}: rope scaling of the kind {str(kind)[:40]!r} is not supported, "
            "only 'linear' and 'llama3' are"
        )
    inner.refuse_unread(f"rope scaling of the kind {kind!r}", IDLE)
    return theta


ROPE = ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
"""Settings of the rotation that may stand outside its object."""
IDLE = ("type", "factor", "original_max_position_embeddings")
"""What the kinds of rope scaling that do not need it pass over."""


def _llama3(scaling: Config, context: Any) -> dict[str, Any]:
    low, high = scaling.number("low_freq_factor"), scaling.number("high_freq_factor")
    if low >= high:
        raise scaling.wrong("low_freq_factor", f"below high_freq_factor={high}")
    return {
        "rope_factor": scaling.number("factor"),
        "rope_low": low,
        "rope_high": high,
        "rope_original": scaling.size("original_max_position_embeddings", context),
    }
