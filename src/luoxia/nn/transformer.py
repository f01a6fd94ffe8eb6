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
from luoxia.nn import fused_ops as by_hand
from luoxia.nn.attention import CrossAttention, HeadNorm, RMSNorm, SelfAttention, Table, rotary, sinusoid
from luoxia.nn.cache import Cache, Scope, causal_scope, full_scope, over_keys
from luoxia.nn.dropout import Dropout
from luoxia.nn.linear import Linear, project
from luoxia.nn.shape import Shape, vaswani

__all__ = ["Cache", "Decoder", "Encoder", "EncoderDecoder", "Shape", "initialize", "vaswani"]


def normalization(shape: Shape) -> nn.Module:
    """The norm over the width that ``shape`` asks for."""
    if shape.norm == "rms":
        return RMSNorm(shape.width, shape.norm_eps, shape.norm_affine)
    return nn.LayerNorm(shape.width, shape.norm_eps, shape.norm_affine, bias=shape.bias)


class Embedding(nn.Module):
    """Input embedding and positional encoding: the foot of the figure."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.scale = math.sqrt(shape.width) if shape.embedding_scale else 1.0
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.types = nn.Embedding(shape.token_types, shape.width) if shape.token_types else None
        self.positions: nn.Embedding | Table | None = None
        if shape.positions == "learned":
            self.positions = nn.Embedding(shape.context, shape.width)
        elif shape.positions == "sinusoidal":
            self.positions = Table(sinusoid, shape.context, shape.width)
        self.norm = normalization(shape) if shape.embedding_norm else nn.Identity()
        self.dropout = Dropout(shape.dropout)

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
    if not by_hand.worthwhile(x):
        return F.relu(x).square()
    y: Tensor = by_hand.ReluSquared.apply(x)  # type: ignore[no-untyped-call]
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

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        gates = 2 if shape.activation == "swiglu" else 1
        self.up = Linear(shape.width, gates * shape.d_ff, bias=shape.bias)
        self.activation = ACTIVATIONS[shape.activation]
        self.down = Linear(shape.d_ff, shape.width, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        out: Tensor = self.down(self.activation(self.up(x)))
        return out


class Block(nn.Module):
    """One layer of the figure: self-attention, in a decoder of two attention to the memory, feed-forward."""

    def __init__(self, shape: Shape, *, cross: bool = False) -> None:
        super().__init__()
        sizes = (shape.width, shape.heads, shape.groups, shape.d_k)
        qkv_bias = shape.bias if shape.qkv_bias is None else shape.qkv_bias
        norm = HeadNorm(*sizes[1:], shape.norm_eps, shape.norm_affine) if shape.qk_norm else None
        drop = shape.attention_dropout
        self.norm_first = shape.norm_first
        self.attention_norm = normalization(shape)
        self.attention = SelfAttention(*sizes, qkv_bias=qkv_bias, bias=shape.bias, norm=norm, dropout=drop)
        self.cross_norm = normalization(shape) if cross else None
        self.cross = (
            CrossAttention(*sizes, qkv_bias=qkv_bias, bias=shape.bias, dropout=drop) if cross else None
        )
        self.feed_forward_norm = normalization(shape)
        self.feed_forward = FeedForward(shape)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, scope: Scope, layer: int) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        x = self.residual(x, self.attention_norm, lambda y: self.attention(y, scope, layer))
        if self.cross is not None and self.cross_norm is not None:
            cross = self.cross
            x = self.residual(x, self.cross_norm, lambda y: cross(y, scope, layer))
        return self.residual(x, self.feed_forward_norm, self.feed_forward)

    def residual(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """LayerNorm(x + Sublayer(x)) (section 3.1), or x + Sublayer(LayerNorm(x)) with ``norm_first``."""
        y = sublayer(norm(x) if self.norm_first else x)
        if self.training:
            y = self.dropout(y)
        out: Tensor = x + y if self.norm_first else norm(x + y)
        return out


class Stack(nn.Module):
    """N layers, with one more norm at the end if they start with theirs."""

    def __init__(self, shape: Shape, layers: int, *, cross: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(shape, cross=cross) for _ in range(layers))
        self.norm = normalization(shape) if shape.norm_first else nn.Identity()
        scale = (shape.rope_theta, shape.rope_factor, shape.rope_low, shape.rope_high, shape.rope_original)
        rotates = shape.positions == "rotary"
        self.rotary = Table(rotary, shape.context, shape.d_k, *scale) if rotates else None

    def additions(self) -> list[Tensor]:
        """The weights whose outputs are added to the residual stream."""
        last = ("attention.output.weight", "cross.output.weight", "feed_forward.down.weight")
        return [weight for name, weight in self.named_parameters() if name.endswith(last)]

    def forward(self, x: Tensor, scope: Scope, checkpointing: bool = False) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        if self.rotary is not None:
            cosines, sines = self.rotary(scope.positions).chunk(2, dim=-2)
            scope = replace(scope, rotation=(cosines, sines))
        for index, block in enumerate(self.layers):
            if checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, scope, index, use_reentrant=False)
            else:
                x = block(x, scope, index)
        if scope.cache is not None:
            scope.cache.advance(x.shape[1])
        out: Tensor = self.norm(x)
        return out


def initialize(network: nn.Module, shape: Shape) -> None:
    """Draw the weights, by ``shape.init``; biases 0.

    - ``gpt2``: N(0, 0.02), what adds to the residual stream smaller by the root of the number of additions
      (Radford et al. 2019, section 2.3);
    - ``zero``: N(0, 1/√fan-in); 0 for what adds to the residual stream and for an untied head;
    - ``xavier``: Glorot & Bengio 2010, eq. 16; embeddings N(0, 1/√width), so that scaled ones have unit variance.
    """
    spread = {"gpt2": 0.02, "zero": 0.02 if shape.tied else 1.0, "xavier": shape.width**-0.5}[shape.init]
    stacks = [module for module in network.modules() if isinstance(module, Stack)]
    additions = {weight: len(stack.additions()) for stack in stacks for weight in stack.additions()}
    for module in network.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, 0.0, spread)
        elif isinstance(module, nn.Linear | Head) and module.weight is not None:
            last = module.weight in additions or isinstance(module, Head)
            if shape.init == "xavier":
                nn.init.xavier_uniform_(module.weight)
            elif shape.init == "zero":
                nn.init.normal_(module.weight, 0.0, 0.0 if last else module.weight.shape[1] ** -0.5)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02 / math.sqrt(additions.get(module.weight, 1)))
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class Transformer(nn.Module):
    """What encoders and decoders share. ``checkpointing`` recomputes each layer's inside on the way back."""

    checkpointing = False

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = Embedding(shape)

    def check(self, length: int) -> None:
        """Refuse rows of more tokens than the context holds."""
        if length > self.shape.context:
            raise UsageError(
                f"{length} tokens in a row, and this model's context holds {self.shape.context}: "
                "shorten the text or train with a longer context"
            )


class Encoder(Transformer):
    """Every position sees every other: the figure's left side."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.stack = Stack(shape, shape.layers)
        initialize(self, shape)

    def forward(self, ids: Tensor, mask: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """Ids (n, t), mask (n, t) bool with True = real token, types (n, t) → (n, t, width)."""
        self.check(ids.shape[1])
        scope = full_scope(ids, mask)
        out: Tensor = self.stack(self.embedding(ids, scope.positions, types), scope, self.checkpointing)
        return out


class Head(nn.Module):
    """The last linear layer; tied, it has no matrix of its own (section 3.4)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = None if shape.tied else nn.Parameter(torch.empty(shape.vocabulary, shape.width))
        self.softcap = shape.softcap

    def forward(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Hidden (n, t, width), the embedding's matrix (vocabulary, width) → logits (n, t, vocabulary)."""
        logits = project(hidden, tokens if self.weight is None else self.weight)
        return self.softcap * torch.tanh(logits.float() / self.softcap) if self.softcap else logits


class Predictor(Transformer):
    """A Transformer that ends in logits of the next token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.output = Head(shape)

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden (n, t, width) → logits (n, t, vocabulary), in float32 if capped."""
        logits: Tensor = self.output(hidden, self.embedding.tokens.weight)
        return logits

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
        weight = self.embedding.tokens.weight
        device = weight.device if device is None else torch.device(device)
        if dtype is None:
            autocast = torch.is_autocast_enabled(device.type)
            dtype = torch.get_autocast_dtype(device.type) if autocast else weight.dtype
        shape = (self.shape.layers, rows, self.shape.groups, length, self.shape.d_k)
        return Cache(shape, dtype=dtype, device=device, start=start, static=static)


class Decoder(Predictor):
    """Every position sees those before it: a language model."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.stack = Stack(shape, shape.layers)
        initialize(self, shape)

    def forward(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Ids (n, t) → logits (n, t, vocabulary) of the token after each; see ``hidden``."""
        return self.head(self.hidden(ids, cache=cache, mask=mask, segments=segments))

    def hidden(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Ids (n, t) → (n, t, width), what the head reads.

        With a cache, the ids follow the tokens in it and are added to it. Without one, ``mask`` (n, t) bool marks the
        real tokens of rows padded at either end, and ``segments`` (n, t) int64 numbers the documents packed in a row:
        attention stays in a document, and positions start again with each.
        """
        self.check(ids.shape[1])
        scope = causal_scope(ids, self.shape.window, cache, mask, segments)
        out: Tensor = self.stack(self.embedding(ids, scope.positions), scope, self.checkpointing)
        return out

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

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.encoder = Stack(shape, shape.layers if shape.encoder_layers is None else shape.encoder_layers)
        self.decoder = Stack(shape, shape.layers, cross=True)
        initialize(self, shape)

    def forward(self, source: Tensor, source_mask: Tensor | None, target: Tensor) -> Tensor:
        """Source (n, s), its mask (n, s) with True = real token, target (n, t) → logits (n, t, vocabulary)."""
        return self.decode(target, self.encode(source, source_mask), source_mask)

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """Source (n, s) and its mask (n, s) → memory (n, s, width)."""
        self.check(source.shape[1])
        scope = full_scope(source, source_mask)
        out: Tensor = self.encoder(self.embedding(source, scope.positions), scope, self.checkpointing)
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
        scope = causal_scope(target, self.shape.window, cache)
        if cache is None:
            scope = replace(scope, memory=memory, memory_mask=over_keys(source_mask))
        else:
            scope = replace(scope, memory_mask=cache.memory_mask)
        x = self.decoder(self.embedding(target, scope.positions), scope, self.checkpointing)
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
