"""BERT (Devlin et al. 2019, arXiv:1810.04805): the encoder, post-norm, with learned positions and segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luoxia.interchange.config import Config
from luoxia.interchange.rules import Family, Rule, heads, layer_norm, linear, matrix
from luoxia.nn.transformer_config import TransformerConfig

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
BACK = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
HARMLESS = frozenset([
    "tie_word_embeddings", "directionality", "pooler_fc_size", "pooler_num_attention_heads",
    "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
])  # fmt: skip
"""Keys of its config.json that change nothing of what Luoxia computes with it."""


def read_transformer(config: Config) -> TransformerConfig:
    """The `TransformerConfig` of a BERT config."""
    config.only(is_decoder=False, add_cross_attention=False, position_embedding_type="absolute")
    return TransformerConfig(
        vocabulary=config.size("vocab_size", 30_522),
        width=config.size("hidden_size", 768),
        layers=config.size("num_hidden_layers", 12),
        heads=config.size("num_attention_heads", 12),
        hidden=config.size("intermediate_size", 3072),
        context=config.size("max_position_embeddings", 512),
        norm="layer",
        norm_first=False,
        norm_eps=config.number("layer_norm_eps", 1e-12),
        positions="learned",
        activation=config.one_of("hidden_act", ACTIVATIONS, "gelu"),  # type: ignore[arg-type]
        bias=True,
        embedding_norm=True,
        token_types=config.size("type_vocab_size", 2),
        dropout=config.share("hidden_dropout_prob"),
        attention_dropout=config.share("attention_probs_dropout_prob"),
    )


def write_config(transformer: TransformerConfig) -> dict[str, Any]:
    """What makes ``transformers`` build this Transformer."""
    return {
        "vocab_size": transformer.vocabulary,
        "hidden_size": transformer.width,
        "num_hidden_layers": transformer.layers,
        "num_attention_heads": transformer.heads,
        "intermediate_size": transformer.d_ff,
        "max_position_embeddings": transformer.context,
        "layer_norm_eps": transformer.norm_eps,
        "hidden_act": BACK.get(transformer.activation, transformer.activation),
        "type_vocab_size": transformer.token_types,
        "hidden_dropout_prob": transformer.dropout,
        "attention_probs_dropout_prob": transformer.attention_dropout,
    }


def rules(transformer: TransformerConfig) -> Iterator[Rule]:
    """Each tensor of the encoder."""
    width = transformer.width
    tables = (
        ("tokens", "word_embeddings", transformer.vocabulary),
        ("positions", "position_embeddings", transformer.context),
        ("types", "token_type_embeddings", transformer.token_types),
    )
    for ours, theirs, rows in tables:
        yield matrix(f"embedding.{ours}.weight", f"embeddings.{theirs}.weight", rows, width)
    yield from layer_norm("embedding.norm", "embeddings.LayerNorm", width)
    for i in range(transformer.layers):
        ours, theirs = f"stack.layers.{i}", f"encoder.layer.{i}"
        projections = heads(transformer, [f"{theirs}.attention.self.{x}" for x in ("query", "key", "value")])
        yield from linear(f"{ours}.attention.qkv", projections, width, bias=True)
        yield from linear(
            f"{ours}.attention.output", {f"{theirs}.attention.output.dense": width}, width, bias=True
        )
        yield from layer_norm(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm", width)
        yield from linear(
            f"{ours}.feed_forward.up", {f"{theirs}.intermediate.dense": transformer.d_ff}, width, bias=True
        )
        yield from linear(
            f"{ours}.feed_forward.down", {f"{theirs}.output.dense": width}, transformer.d_ff, bias=True
        )
        yield from layer_norm(f"{ours}.feed_forward_norm", f"{theirs}.output.LayerNorm", width)


BERT = Family(
    "bert",
    "BertModel",
    "bert.",
    encoder=True,
    read=read_transformer,
    config=write_config,
    rules=rules,
    harmless=HARMLESS,
    kept=r"pooler\..*",
    ignored=r"cls\..*|classifier\..*|qa_outputs\..*|embeddings\.position_ids",
    renamed=(("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")),
)
