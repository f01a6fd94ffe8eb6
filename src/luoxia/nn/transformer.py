"""The Transformer (Vaswani et al. 2017, arXiv:1706.03762, figure 1): decoder, encoder, and both together."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from luoxia.core.errors import UsageError
from luoxia.nn import fused_ops
from luoxia.nn.attention import CrossAttention, HeadNorm, RMSNorm, SelfAttention, Table, rotary, sinusoid
from luoxia.nn.cache import AttentionContext, Cache, causal_context, full_context, over_keys
from luoxia.nn.dropout import Dropout
from luoxia.nn.linear import Linear, project
from luoxia.nn.transformer_config import TransformerConfig, vaswani

__all__ = ["Cache", "Decoder", "Encoder", "EncoderDecoder", "TransformerConfig", "initialize", "vaswani"]


def normalization(config: TransformerConfig) -> nn.Module:
    """The norm over the width that ``config`` asks for."""
    if config.norm == "rms":
        return RMSNorm(config.width, config.norm_eps, config.norm_affine)
    return nn.LayerNorm(config.width, config.norm_eps, config.norm_affine, bias=config.bias)


class Embedding(nn.Module):
    """Input embedding and positional encoding: the foot of the figure."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.scale = math.sqrt(config.width) if config.embedding_scale else 1.0
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.types = nn.Embedding(config.token_types, config.width) if config.token_types else None
        self.positions: nn.Embedding | Table | None = None
        if config.positions == "learned":
            self.positions = nn.Embedding(config.context, config.width)
        elif config.positions == "sinusoidal":
            self.positions = Table(sinusoid, config.context, config.width)
        self.norm = normalization(config) if config.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, ids: Tensor, positions: Tensor, types: Tensor | None = None) -> Tensor:
        """Ids (n, t), positions (t,) or (n, t), types (n, t) or None for all 0 → (n, t, width)."""
        x: Tensor = self.tokens(ids)
        if self.scale != 1.0:
            x = x * self.scale
        if self.positions is not None:
            x = x + self.positions(positions).to(x.dtype)
        if self.types is not None:
            x = x + (self.types.weight[0] if types is None else self.types(types))
        out: Tensor = self.dropout(self.norm(x))
        return out


def relu2(x: Tensor) -> Tensor:
    """max(0, x)² (So et al. 2021, arXiv:2109.08668)."""
    if not fused_ops.worthwhile(x):
        return F.relu(x).square()
    y: Tensor = fused_ops.ReluSquared.apply(x)  # type: ignore[no-untyped-call]
    return y


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by the tanh formula (Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2), as GPT-2 has it."""
    return F.gelu(x, approximate="tanh")


def swiglu(x: Tensor) -> Tensor:
    """SiLU(gate) · up, of x = [gate | up] (Shazeer 2020, arXiv:2002.05202, eq. 6)."""
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "relu": F.relu,
    "relu2": relu2,
    "swiglu": swiglu,
}


class FeedForward(nn.Module):
    """The same two layers at every position (section 3.3); with SwiGLU ``up`` holds the gate's rows, then its own."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        gates = 2 if config.activation == "swiglu" else 1
        self.up = Linear(config.width, gates * config.d_ff, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.down = Linear(config.d_ff, config.width, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        out: Tensor = self.down(self.activation(self.up(x)))
        return out


class Block(nn.Module):
    """One layer of the figure: self-attention, in a decoder of two attention to the memory, feed-forward."""

    def __init__(self, config: TransformerConfig, *, cross: bool = False) -> None:
        super().__init__()
        sizes = (config.width, config.heads, config.groups, config.d_k)
        qkv_bias = config.bias if config.qkv_bias is None else config.qkv_bias
        norm = HeadNorm(*sizes[1:], config.norm_eps, config.norm_affine) if config.qk_norm else None
        drop = config.attention_dropout
        self.norm_first = config.norm_first
        self.attention_norm = normalization(config)
        self.attention = SelfAttention(*sizes, qkv_bias=qkv_bias, bias=config.bias, norm=norm, dropout=drop)
        self.cross_norm = normalization(config) if cross else None
        self.cross = (
            CrossAttention(*sizes, qkv_bias=qkv_bias, bias=config.bias, dropout=drop) if cross else None
        )
        self.feed_forward_norm = normalization(config)
        self.feed_forward = FeedForward(config)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, context: AttentionContext, layer: int) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        x = self.add_sublayer(x, self.attention_norm, lambda y: self.attention(y, context, layer))
        if self.cross is not None and self.cross_norm is not None:
            cross = self.cross
            x = self.add_sublayer(x, self.cross_norm, lambda y: cross(y, context, layer))
        return self.add_sublayer(x, self.feed_forward_norm, self.feed_forward)

    def add_sublayer(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """LayerNorm(x + Sublayer(x)) (section 3.1), or x + Sublayer(LayerNorm(x)) with ``norm_first``."""
        y = sublayer(norm(x) if self.norm_first else x)
        if self.training:
            y = self.dropout(y)
        out: Tensor = x + y if self.norm_first else norm(x + y)
        return out


class Stack(nn.Module):
    """N layers, with one more norm at the end if they start with theirs."""

    def __init__(self, config: TransformerConfig, layers: int, *, cross: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(config, cross=cross) for _ in range(layers))
        self.norm = normalization(config) if config.norm_first else nn.Identity()
        scale = (
            config.rope_theta,
            config.rope_factor,
            config.rope_low,
            config.rope_high,
            config.rope_original,
        )
        rotates = config.positions == "rotary"
        self.rotary = Table(rotary, config.context, config.d_k, *scale) if rotates else None

    def residual_projections(self) -> list[Tensor]:
        """The weights whose outputs are added to the residual stream."""
        last = ("attention.output.weight", "cross.output.weight", "feed_forward.down.weight")
        return [weight for name, weight in self.named_parameters() if name.endswith(last)]

    def forward(self, x: Tensor, context: AttentionContext, checkpointing: bool = False) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        if self.rotary is not None:
            cosines, sines = self.rotary(context.positions).chunk(2, dim=-2)
            context = replace(context, rotation=(cosines, sines))
        for index, block in enumerate(self.layers):
            if checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, context, index, use_reentrant=False)
            else:
                x = block(x, context, index)
        if context.cache is not None:
            context.cache.advance(x.shape[1])
        out: Tensor = self.norm(x)
        return out


def initialize(network: nn.Module, config: TransformerConfig) -> None:
    """Draw the weights, by ``config.init``; biases 0.

    - ``gpt2``: N(0, 0.02), what adds to the residual stream smaller by the root of the number of additions
      (Radford et al. 2019, section 2.3);
    - ``zero``: N(0, 1/√fan-in); 0 for what adds to the residual stream and for an untied head;
    - ``xavier``: Glorot & Bengio 2010, eq. 16; embeddings N(0, 1/√width), so that scaled ones have unit variance.
    """
    spread = {"gpt2": 0.02, "zero": 0.02 if config.tied else 1.0, "xavier": config.width**-0.5}[config.init]
    groups = [module.residual_projections() for module in network.modules() if isinstance(module, Stack)]
    residual = {weight: len(group) for group in groups for weight in group}
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, spread)
        elif isinstance(module, nn.Linear | Head) and module.weight is not None:
            last = module.weight in residual or isinstance(module, Head)
            if config.init == "xavier":
                nn.init.xavier_uniform_(module.weight)
            elif config.init == "zero":
                nn.init.normal_(module.weight, 0.0, 0.0 if last else module.weight.shape[1] ** -0.5)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02 / math.sqrt(residual.get(module.weight, 1)))
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class Transformer(nn.Module):
    """What encoders and decoders share. ``checkpointing`` recomputes each layer's inside on the way back."""

    checkpointing = False

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)

    def check(self, length: int) -> None:
        """Refuse rows of more tokens than the context holds."""
        if length > self.config.context:
            raise UsageError(
                f"{length} tokens in a row, and this model's context holds {self.config.context}: "
                "shorten the text or train with a longer context"
            )


class Encoder(Transformer):
    """Every position sees every other: the figure's left side."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.stack = Stack(config, config.layers)
        initialize(self, config)

    def forward(self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """Ids (n, t), mask (n, t) bool with True = real token, types (n, t) → (n, t, width)."""
        self.check(ids.shape[1])
        context = full_context(ids, mask)
        out: Tensor = self.stack(self.embedding(ids, context.positions, types), context, self.checkpointing)
        return out


class Head(nn.Module):
    """The last linear layer; tied, it has no matrix of its own (section 3.4)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.weight = None if config.tied else nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.softcap = config.softcap

    def forward(self, hidden: Tensor, embedding_weight: Tensor) -> Tensor:
        """Hidden (n, t, width), the embedding's matrix (vocabulary, width) → logits (n, t, vocabulary)."""
        logits = project(hidden, embedding_weight if self.weight is None else self.weight)
        return self.softcap * torch.tanh(logits.float() / self.softcap) if self.softcap else logits


class Predictor(Transformer):
    """A Transformer that ends in logits of the next token."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.output = Head(config)

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden (n, t, width) → logits (n, t, vocabulary), in float32 if capped."""
        logits: Tensor = self.output(hidden, self.embedding.tokens.weight)
        return logits

    def attends_in(self, device: str) -> torch.dtype:
        """The dtype of queries, keys and values on this kind of device."""
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        return self.embedding.tokens.weight.dtype

    def allocate(
        self,
        rows: int,
        length: int,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        start: Tensor | None,
        static: bool,
    ) -> Cache:
        """An empty cache, on the weights' device and in the dtype in which they attend unless others are given."""
        self.check(length)
        device = self.embedding.tokens.weight.device if device is None else torch.device(device)
        dtype = self.attends_in(device.type) if dtype is None else dtype
        sizes = (self.config.layers, rows, self.config.groups, length, self.config.d_k)
        return Cache(sizes, dtype=dtype, device=device, start=start, static=static)


class Decoder(Predictor):
    """Every position sees those before it: a language model."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.stack = Stack(config, config.layers)
        initialize(self, config)

    def forward(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
        bounds: Tensor | None = None,
    ) -> Tensor:
        """Ids (n, t) → logits (n, t, vocabulary) of the token after each; see ``hidden``."""
        return self.head(self.hidden(ids, cache=cache, mask=mask, segments=segments, bounds=bounds))

    def hidden(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
        bounds: Tensor | None = None,
    ) -> Tensor:
        """Ids (n, t) → (n, t, width), what the head reads.

        With a cache, the ids follow the tokens in it and are added to it. Without one, ``mask`` (n, t) bool marks the
        real tokens of rows padded at either end, and ``segments`` (n, t) int64 numbers the documents packed in a row:
        attention stays in a document, and positions start again with each. ``bounds`` says the same once more, for a
        kernel that is quicker than a mask: see `torch_private.packed_attention`.
        """
        self.check(ids.shape[1])
        bounds = bounds if self.attends_packed(ids) and mask is None else None
        context = causal_context(ids, self.config.window, cache, mask, segments, bounds)
        out: Tensor = self.stack(self.embedding(ids, context.positions), context, self.checkpointing)
        return out

    def attends_packed(self, ids: Tensor) -> bool:
        """Whether the kernel for packed documents can do what this network asks of attention."""
        plain = self.config.window is None and not self.config.attention_dropout
        fits = self.config.d_k % 8 == 0 and self.config.d_k <= 256
        return plain and fits and self.attends_in(ids.device.type) in (torch.bfloat16, torch.float16)

    def make_cache(
        self,
        batch: int,
        length: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        *,
        start: Tensor | None = None,
        static: bool = False,
    ) -> Cache:
        """An empty cache for rows of up to ``length`` tokens; ``start`` (n,) int64 = each row's first real token."""
        return self.allocate(batch, length, dtype, device, start, static)


class EncoderDecoder(Predictor):
    """The whole figure: a source is encoded, a target decoded with attention to it; one embedding for both."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.encoder = Stack(
            config, config.layers if config.encoder_layers is None else config.encoder_layers
        )
        self.decoder = Stack(config, config.layers, cross=True)
        initialize(self, config)

    def forward(self, source: Tensor, source_mask: Tensor | None, target: Tensor) -> Tensor:
        """Source (n, s), its mask (n, s) with True = real token, target (n, t) → logits (n, t, vocabulary)."""
        return self.decode(target, self.encode(source, source_mask), source_mask)

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """Source (n, s) and its mask (n, s) → memory (n, s, width)."""
        self.check(source.shape[1])
        context = full_context(source, source_mask)
        out: Tensor = self.encoder(self.embedding(source, context.positions), context, self.checkpointing)
        return out

    def decode(
        self,
        target: Tensor,
        memory: Tensor | None,
        source_mask: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Target (n, t), memory (n, s, width), source mask (n, s) → logits (n, t, vocabulary).

        With a cache, the target follows the tokens in it, and memory and mask are the cache's own.
        """
        self.check(target.shape[1])
        context = causal_context(target, self.config.window, cache)
        if cache is None:
            context = replace(context, memory=memory, memory_mask=over_keys(source_mask))
        else:
            context = replace(context, memory_mask=cache.memory_mask)
        x = self.decoder(self.embedding(target, context.positions), context, self.checkpointing)
        return self.head(x)

    def make_cache(
        self,
        memory: Tensor,
        source_mask: Tensor | None,
        length: int,
        *,
        dtype: torch.dtype | None = None,
        static: bool = False,
    ) -> Cache:
        """An empty cache for targets of up to ``length`` tokens, with the memory's keys and values in it."""
        cache = self.allocate(len(memory), length, dtype, memory.device, None, static)
        dtype = cache.keys.dtype
        pairs = [block.cross.remember(memory) for block in self.decoder.layers]  # type: ignore[operator,union-attr]
        cache.memory = [(k.to(dtype).contiguous(), v.to(dtype).contiguous()) for k, v in pairs]
        cache.memory_mask = over_keys(source_mask)
        return cache
