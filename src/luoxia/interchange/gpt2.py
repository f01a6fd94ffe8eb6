"""GPT-2 (Radford et al. 2019): learned positions, fused projections, matrices stored as (in, out)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luoxia.interchange.config import Config
from luoxia.interchange.rules import Family, Rule, layer_norm, linear, matrix
from luoxia.nn.transformer_config import TransformerConfig

ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "relu": "relu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
}
BACK = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu": "relu"}
HARMLESS = frozenset([
    "n_ctx", "embd_pdrop", "reorder_and_upcast_attn", "predict_special_tokens", "summary_type",
    "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
])  # fmt: skip
"""Keys of its config.json that change nothing of what Luoxia computes with it."""


def read_transformer(config: Config) -> TransformerConfig:
    """The `TransformerConfig` of a GPT-2 config."""
    config.only(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    width = config.size("n_embd", 768)
    return TransformerConfig(
        vocabulary=config.size("vocab_size", 50_257),
        width=width,
        layers=config.size("n_layer", 12),
        heads=config.size("n_head", 12),
        hidden=config.size("n_inner", null=4 * width),
        context=config.size("n_positions", 1024),
        norm="layer",
        norm_eps=config.number("layer_norm_epsilon", 1e-5),
        positions="learned",
        activation=config.one_of("activation_function", ACTIVATIONS, "gelu_new"),  # type: ignore[arg-type]
        bias=True,
        tied=config.flag("tie_word_embeddings", True),
        dropout=config.share("resid_pdrop"),
        attention_dropout=config.share("attn_pdrop"),
    )


def write_config(transformer: TransformerConfig) -> dict[str, Any]:
    """What makes ``transformers`` build this Transformer."""
    return {
        "vocab_size": transformer.vocabulary,
        "n_embd": transformer.width,
        "n_layer": transformer.layers,
        "n_head": transformer.heads,
        "n_inner": transformer.d_ff,
        "n_positions": transformer.context,
        "activation_function": BACK.get(transformer.activation, transformer.activation),
        "layer_norm_epsilon": transformer.norm_eps,
        "embd_pdrop": transformer.dropout,
        "resid_pdrop": transformer.dropout,
        "attn_pdrop": transformer.attention_dropout,
        "tie_word_embeddings": transformer.tied,
    }


def rules(transformer: TransformerConfig) -> Iterator[Rule]:
    """Each tensor of the decoder."""
    width = transformer.width
    yield matrix("embedding.tokens.weight", "wte.weight", transformer.vocabulary, width)
    yield matrix("embedding.positions.weight", "wpe.weight", transformer.context, width)
    layers = (
        ("attention.qkv", "attn.c_attn", 3 * width, width),
        ("attention.output", "attn.c_proj", width, width),
        ("feed_forward.up", "mlp.c_fc", transformer.d_ff, width),
        ("feed_forward.down", "mlp.c_proj", width, transformer.d_ff),
    )
    for i in range(transformer.layers):
        ours, theirs = f"stack.layers.{i}", f"h.{i}"
        yield from layer_norm(f"{ours}.attention_norm", f"{theirs}.ln_1", width)
        yield from layer_norm(f"{ours}.feed_forward_norm", f"{theirs}.ln_2", width)
        for name, other, outputs, inputs in layers:
            parts = {f"{theirs}.{other}": outputs}
            yield from linear(f"{ours}.{name}", parts, inputs, bias=True, transposed=True)
    yield from layer_norm("stack.norm", "ln_f", width)


GPT2 = Family(
    "gpt2",
    "GPT2LMHeadModel",
    "transformer.",
    encoder=False,
    read=read_transformer,
    config=write_config,
    rules=rules,
    harmless=HARMLESS,
    aliases={
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
    ignored=r"h\.\d+\.attn\.(bias|masked_bias)",  # the causal mask, of older folders
)
