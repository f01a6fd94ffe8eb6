"""Llama (Touvron et al. 2023, arXiv:2302.13971) and what is built like it: Mistral, Qwen 2 and 2.5, Qwen 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from luoxia.interchange.config import LONGEST, Config, rope
from luoxia.interchange.rules import Family, Rule, heads, linear, matrix, vector
from luoxia.networks.shape import Shape


def base_shape(config: Config) -> Shape:
    """What all of them share."""
    count, width = config.size("num_attention_heads"), config.size("hidden_size")
    config.only(hidden_act="silu")
    return Shape(
        vocabulary=config.size("vocab_size"),
        width=width,
        layers=config.size("num_hidden_layers"),
        heads=count,
        kv_heads=config.size("num_key_value_heads", count),
        hidden=config.size("intermediate_size"),
        context=config.size("max_position_embeddings", most=LONGEST),
        norm="rms",
        norm_eps=config.number("rms_norm_eps", 1e-6),
        positions="rotary",
        activation="swiglu",
        head_width=config.size("head_dim", max(1, width // count)),
        tied=config.flag("tie_word_embeddings", False),
        attention_dropout=config.share("attention_dropout"),
        **rope(config),
    )


def base_config(shape: Shape) -> dict[str, Any]:
    """What makes ``transformers`` build this shape, in keys that its older versions and vLLM read too."""
    scaling: dict[str, Any] | None = None
    if shape.rope_high:
        scaling = {
            "rope_type": "llama3",
            "factor": shape.rope_factor,
            "low_freq_factor": shape.rope_low,
            "high_freq_factor": shape.rope_high,
            "original_max_position_embeddings": shape.rope_original,
        }
    elif shape.rope_factor != 1.0:
        scaling = {"rope_type": "linear", "factor": shape.rope_factor}
    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.groups,
        "head_dim": shape.d_k,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "rope_scaling": scaling,
        "attention_dropout": shape.attention_dropout,
        "tie_word_embeddings": shape.tied,
    }


def read_llama(config: Config) -> Shape:
    """The `Shape` of a Llama config: biases everywhere or nowhere."""
    bias = config.flag("attention_bias", False)
    config.only(mlp_bias=bias)
    shape = replace(base_shape(config), bias=bias)
    if shape.width % shape.heads:  # Mistral and Qwen 3 may
        raise config.wrong("hidden_size", f"a multiple of num_attention_heads={shape.heads}")
    return shape


def write_llama(shape: Shape) -> dict[str, Any]:
    """See `base_config`."""
    return {**base_config(shape), "attention_bias": shape.bias, "mlp_bias": shape.bias}


def read_mistral(config: Config) -> Shape:
    """The `Shape` of a Mistral config, with its sliding window."""
    none = config.values.get("sliding_window", 4096) is None  # the family's default, where the key is missing
    return replace(base_shape(config), window=None if none else config.size("sliding_window", 4096))


def write_mistral(shape: Shape) -> dict[str, Any]:
    """See `base_config`."""
    return {**base_config(shape), "sliding_window": shape.window}


def read_qwen(config: Config) -> Shape:
    """The window of a Qwen config: in all layers or in none."""
    shape = base_shape(config)
    if not config.flag("use_sliding_window", False):
        return shape
    config.only(max_window_layers=0)
    return replace(shape, window=config.size("sliding_window", 4096))


def write_qwen(shape: Shape) -> dict[str, Any]:
    """See `base_config`."""
    windowed = {"use_sliding_window": True, "sliding_window": shape.window, "max_window_layers": 0}
    return {**base_config(shape), **(windowed if shape.window else {"use_sliding_window": False})}


def read_qwen2(config: Config) -> Shape:
    """The `Shape` of a Qwen 2 config: biases of queries, keys and values."""
    return replace(read_qwen(config), qkv_bias=True)


def read_qwen3(config: Config) -> Shape:
    """The `Shape` of a Qwen 3 config: norms of queries and keys."""
    config.only(attention_bias=False)
    shape = replace(read_qwen(config), qk_norm=True)
    return shape if "head_dim" in config.values else replace(shape, head_width=128)  # the family's default


def rules(shape: Shape) -> Iterator[Rule]:
    """Each tensor of the decoder."""
    width, d_k = shape.width, shape.d_k
    qkv_bias = shape.bias if shape.qkv_bias is None else shape.qkv_bias
    yield matrix("embedding.tokens.weight", "embed_tokens.weight", shape.vocabulary, width)
    for i in range(shape.layers):
        ours, theirs = f"stack.layers.{i}", f"layers.{i}"
        attention, mlp = f"{theirs}.self_attn", f"{theirs}.mlp"
        projections = heads(shape, [f"{attention}.{x}_proj" for x in "qkv"])
        gates = {f"{mlp}.gate_proj": shape.d_ff, f"{mlp}.up_proj": shape.d_ff}
        yield vector(f"{ours}.attention_norm.weight", f"{theirs}.input_layernorm.weight", width)
        yield vector(f"{ours}.feed_forward_norm.weight", f"{theirs}.post_attention_layernorm.weight", width)
        if shape.qk_norm:
            norms = {f"{attention}.{x}_norm.weight": (d_k,) for x in "qk"}
            yield Rule(f"{ours}.attention.norm.weight", (2, d_k), norms)
        yield from linear(f"{ours}.attention.qkv", projections, width, bias=qkv_bias)
        output = {f"{attention}.o_proj": width}
        yield from linear(f"{ours}.attention.output", output, shape.heads * d_k, bias=shape.bias)
        yield from linear(f"{ours}.feed_forward.up", gates, width, bias=shape.bias)
        yield from linear(
            f"{ours}.feed_forward.down", {f"{mlp}.down_proj": width}, shape.d_ff, bias=shape.bias
        )
    yield vector("stack.norm.weight", "norm.weight", width)


def _family(
    kind: str,
    architecture: str,
    shape: Callable[[Config], Shape],
    config: Callable[[Shape], dict[str, Any]],
) -> Family:
    return Family(
        kind,
        architecture,
        "model.",
        encoder=False,
        shape=shape,
        config=config,
        rules=rules,
        ignored=r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",  # the rates of the rotation, of older folders
    )


LLAMA = _family("llama", "LlamaForCausalLM", read_llama, write_llama)
MISTRAL = _family("mistral", "MistralForCausalLM", read_mistral, write_mistral)
QWEN2 = _family("qwen2", "Qwen2ForCausalLM", read_qwen2, write_qwen)
QWEN3 = _family("qwen3", "Qwen3ForCausalLM", read_qwen3, write_qwen)
