"""Llama (Touvron et al. 2023, arXiv:2302.13971) and what is built like it: Mistral, Qwen 2 and 2.5, Qwen 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from luoxia.core.errors import LuoxiaError
from luoxia.interchange.config import LONGEST, Config, rope
from luoxia.interchange.rules import Family, Rule, heads, linear, matrix, vector
from luoxia.nn.transformer_config import TransformerConfig

WINDOW = 4096
"""Tokens of a sliding window whose config gives no number."""


@dataclass(frozen=True)
class Defaults:
    """What a family's config says where a key is missing."""

    vocabulary: int = 32_000
    hidden: int = 11_008
    context: int = 2048
    kv_heads: int | None = None  # None: as many as heads
    head_width: int | None = None  # None: width / heads


def base_transformer(config: Config, defaults: Defaults) -> TransformerConfig:
    """What all of them share."""
    count, width = config.size("num_attention_heads", 32), config.size("hidden_size", 4096)
    if config.get("hidden_act") != "swish":  # another name of the same
        config.only(hidden_act="silu")
    config.without("attn_logit_softcapping", "final_logit_softcapping")
    return TransformerConfig(
        vocabulary=config.size("vocab_size", defaults.vocabulary),
        width=width,
        layers=config.size("num_hidden_layers", 32),
        heads=count,
        kv_heads=config.size("num_key_value_heads", defaults.kv_heads, null=count),
        hidden=config.size("intermediate_size", defaults.hidden),
        context=config.size("max_position_embeddings", defaults.context, most=LONGEST),
        norm="rms",
        norm_eps=config.number("rms_norm_eps", 1e-6),
        positions="rotary",
        activation="swiglu",
        head_width=config.size("head_dim", defaults.head_width, null=max(1, width // count)),
        tied=config.flag("tie_word_embeddings", False),
        attention_dropout=config.share("attention_dropout"),
        **rope(config),
    )


def windowed(
    config: Config, transformer: TransformerConfig, window: int | None, first: int = 0
) -> TransformerConfig:
    """The same with the layers from ``first`` on reading the latest ``window`` tokens, unless ``layer_types`` differ.

    All layers have the window or none has: ``LuoxiaError`` for a mixture.
    """
    types = config.get("layer_types")
    if types is None:
        kinds = {SLIDING if window is not None and i >= first else FULL for i in (0, transformer.layers - 1)}
    elif (
        isinstance(types, list)
        and len(types) == transformer.layers
        and all(x in (SLIDING, FULL) for x in types)
    ):
        kinds = set(types)
    else:
        raise config.wrong("layer_types", f"a list of {transformer.layers:,} of {SLIDING} and {FULL}")
    if len(kinds) > 1:
        setting = f"max_window_layers={first}" if types is None else f"layer_types={str(types)[:60]}"
        raise LuoxiaError(
            f"{config.path}: {setting} is not supported, which gives a sliding window to some of the layers: "
            "all may have one, or none"
        )
    if SLIDING in kinds and window is None:
        raise config.wrong("layer_types", f"all {FULL} without a sliding_window")
    return replace(transformer, window=window if SLIDING in kinds else None)


SLIDING, FULL = "sliding_attention", "full_attention"


def base_config(transformer: TransformerConfig) -> dict[str, Any]:
    """What makes ``transformers`` build this Transformer, in keys that its older versions and vLLM read too."""
    scaling: dict[str, Any] | None = None
    if transformer.rope_high:
        scaling = {
            "rope_type": "llama3",
            "factor": transformer.rope_factor,
            "low_freq_factor": transformer.rope_low,
            "high_freq_factor": transformer.rope_high,
            "original_max_position_embeddings": transformer.rope_original,
        }
    elif transformer.rope_factor != 1.0:
        scaling = {"rope_type": "linear", "factor": transformer.rope_factor}
    return {
        "vocab_size": transformer.vocabulary,
        "hidden_size": transformer.width,
        "intermediate_size": transformer.d_ff,
        "num_hidden_layers": transformer.layers,
        "num_attention_heads": transformer.heads,
        "num_key_value_heads": transformer.groups,
        "head_dim": transformer.d_k,
        "hidden_act": "silu",
        "max_position_embeddings": transformer.context,
        "rms_norm_eps": transformer.norm_eps,
        "rope_theta": transformer.rope_theta,
        "rope_scaling": scaling,
        "attention_dropout": transformer.attention_dropout,
        "tie_word_embeddings": transformer.tied,
    }


def read_llama(config: Config) -> TransformerConfig:
    """The `TransformerConfig` of a Llama config: biases everywhere or nowhere."""
    bias = config.flag("attention_bias", False)
    if config.flag("mlp_bias", False) != bias:
        raise LuoxiaError(
            f"{config.path}: mlp_bias={not bias} is not supported beside attention_bias={bias}, only {bias} is"
        )
    transformer = windowed(config, replace(base_transformer(config, Defaults()), bias=bias), None)
    if transformer.width % transformer.heads:  # Mistral and Qwen 3 may
        raise config.wrong("hidden_size", f"a multiple of num_attention_heads={transformer.heads}")
    return transformer


def write_llama(transformer: TransformerConfig) -> dict[str, Any]:
    """See `base_config`."""
    return {**base_config(transformer), "attention_bias": transformer.bias, "mlp_bias": transformer.bias}


def window_of(config: Config) -> int | None:
    """``sliding_window``; None for null."""
    window = config.get("sliding_window", WINDOW)
    return None if window is None else config.size("sliding_window", WINDOW)


def read_mistral(config: Config) -> TransformerConfig:
    """The `TransformerConfig` of a Mistral config, with its sliding window."""
    transformer = base_transformer(config, Defaults(hidden=14_336, context=131_072, kv_heads=8))
    return windowed(config, transformer, window_of(config))


def write_mistral(transformer: TransformerConfig) -> dict[str, Any]:
    """See `base_config`."""
    return {**base_config(transformer), "sliding_window": transformer.window}


def read_qwen(config: Config, head_width: int | None = None) -> TransformerConfig:
    """What both share, with a sliding window in all layers or in none."""
    defaults = Defaults(151_936, 22_016, 32_768, 32, head_width)
    window = window_of(config) if config.flag("use_sliding_window", False) else None
    first = config.get("max_window_layers", 28)
    if type(first) is not int:
        raise config.wrong("max_window_layers", "a whole number")
    config.get("sliding_window")
    return windowed(config, base_transformer(config, defaults), window, first)


def write_qwen(transformer: TransformerConfig) -> dict[str, Any]:
    """See `base_config`."""
    windowed = {"use_sliding_window": True, "sliding_window": transformer.window, "max_window_layers": 0}
    return {**base_config(transformer), **(windowed if transformer.window else {"use_sliding_window": False})}


def read_qwen2(config: Config) -> TransformerConfig:
    """The `TransformerConfig` of a Qwen 2 config: biases of queries, keys and values."""
    return replace(read_qwen(config), qkv_bias=True)


def read_qwen3(config: Config) -> TransformerConfig:
    """The `TransformerConfig` of a Qwen 3 config: norms of queries and keys."""
    config.only(attention_bias=False)
    return replace(read_qwen(config, head_width=128), qk_norm=True)


def rules(transformer: TransformerConfig) -> Iterator[Rule]:
    """Each tensor of the decoder."""
    width, d_k = transformer.width, transformer.d_k
    qkv_bias = transformer.bias if transformer.qkv_bias is None else transformer.qkv_bias
    yield matrix("embedding.tokens.weight", "embed_tokens.weight", transformer.vocabulary, width)
    for i in range(transformer.layers):
        ours, theirs = f"stack.layers.{i}", f"layers.{i}"
        attention, mlp = f"{theirs}.self_attn", f"{theirs}.mlp"
        projections = heads(transformer, [f"{attention}.{x}_proj" for x in "qkv"])
        gates = {f"{mlp}.gate_proj": transformer.d_ff, f"{mlp}.up_proj": transformer.d_ff}
        yield vector(f"{ours}.attention_norm.weight", f"{theirs}.input_layernorm.weight", width)
        yield vector(f"{ours}.feed_forward_norm.weight", f"{theirs}.post_attention_layernorm.weight", width)
        if transformer.qk_norm:
            norms = {f"{attention}.{x}_norm.weight": (d_k,) for x in "qk"}
            yield Rule(f"{ours}.attention.norm.weight", (2, d_k), norms)
        yield from linear(f"{ours}.attention.qkv", projections, width, bias=qkv_bias)
        output = {f"{attention}.o_proj": width}
        yield from linear(f"{ours}.attention.output", output, transformer.heads * d_k, bias=transformer.bias)
        yield from linear(f"{ours}.feed_forward.up", gates, width, bias=transformer.bias)
        yield from linear(
            f"{ours}.feed_forward.down", {f"{mlp}.down_proj": width}, transformer.d_ff, bias=transformer.bias
        )
    yield vector("stack.norm.weight", "norm.weight", width)


def _family(
    kind: str,
    architecture: str,
    read: Callable[[Config], TransformerConfig],
    config: Callable[[TransformerConfig], dict[str, Any]],
) -> Family:
    return Family(
        kind,
        architecture,
        "model.",
        encoder=False,
        read=read,
        config=config,
        rules=rules,
        ignored=r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",  # the rates of the rotation, of older folders
    )


LLAMA = _family("llama", "LlamaForCausalLM", read_llama, write_llama)
MISTRAL = _family("mistral", "MistralForCausalLM", read_mistral, write_mistral)
QWEN2 = _family("qwen2", "Qwen2ForCausalLM", read_qwen2, write_qwen)
QWEN3 = _family("qwen3", "Qwen3ForCausalLM", read_qwen3, write_qwen)
