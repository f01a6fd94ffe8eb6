"""Blocks, and blocks upon each other: the body of the figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from luoxia.core.errors import UsageError
from luoxia.nn import fused_ops
from luoxia.nn.attention import CrossAttention, HeadNorm, SelfAttention, normalization
from luoxia.nn.context import AttentionContext
from luoxia.nn.dropout import Dropout
from luoxia.nn.linear import Linear
from luoxia.nn.positions import Rotary
from luoxia.nn.transformer_config import TransformerConfig


def relu2(x: Tensor) -> Tensor:
    """max(0, x)² (So et al. 2021, arXiv:2109.08668)."""
    if not fused_ops.worthwhile(x):
        return F.relu(x).square()
    y: Tensor = fused_ops.ReluSquared.apply(x)  # type: ignore[no-untyped-call]
    return y


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by the tanh formula (Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2), as in GPT-2."""
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

    styled = False
    """Whether it reads the context's style."""

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


class ModulatedBlock(Block):
    """A layer whose norms are shifted and scaled, and whose additions are weighed, by a style: adaLN-Zero.

    (Peebles & Xie 2023, arXiv:2212.09748, figure 3.) `initialize` starts each as the identity.
    """

    styled = True

    def __init__(self, config: TransformerConfig, *, cross: bool = False) -> None:
        if not config.norm_first:
            raise UsageError("a style modulates norms that stand first: set norm_first=True")
        super().__init__(replace(config, norm_affine=False), cross=cross)
        self.modulation = Linear(config.width, 6 * config.width)

    def forward(self, x: Tensor, context: AttentionContext, layer: int) -> Tensor:
        """X (n, t, width), and the context's style (n, width) → (n, t, width)."""
        assert context.style is not None
        style = self.modulation(F.silu(context.style))[:, None].chunk(6, dim=-1)  # six of (n, 1, width)
        y = self.attention_norm(x) * (1 + style[0]) + style[1]
        x = x + style[2] * self.dropout(self.attention(y, context, layer))
        if self.cross is not None and self.cross_norm is not None:
            cross = self.cross
            x = self.add_sublayer(x, self.cross_norm, lambda y: cross(y, context, layer))
        y = self.feed_forward_norm(x) * (1 + style[3]) + style[4]
        out: Tensor = x + style[5] * self.dropout(self.feed_forward(y))
        return out


def rotations(config: TransformerConfig) -> Rotary:
    """The rotary table that ``config`` asks for."""
    scale = (config.rope_theta, config.rope_factor, config.rope_low, config.rope_high, config.rope_original)
    return Rotary(config.context, config.grid, config.d_k, *scale)


class Stack(nn.Module):
    """N layers, with one more norm at the end if they start with theirs."""

    def __init__(
        self, config: TransformerConfig, layers: int, *, cross: bool = False, block: type[Block] = Block
    ) -> None:
        super().__init__()
        self.cross, self.styled = cross, block.styled
        self.layers = nn.ModuleList(block(config, cross=cross) for _ in range(layers))
        self.norm = normalization(config) if config.norm_first else nn.Identity()
        self.rotary = rotations(config) if config.positions == "rotary" else None

    def residual_projections(self) -> list[Tensor]:
        """The weights whose outputs are added to the residual stream."""
        last = ("attention.output.weight", "cross.output.weight", "feed_forward.down.weight")
        return [weight for name, weight in self.named_parameters() if name.endswith(last)]

    def check(self, context: AttentionContext) -> None:
        """Refuse a condition that no layer reads, and the lack of one that all need."""
        cached = context.cache is not None and context.cache.memory is not None
        if self.cross != (cached or context.memory is not None):
            raise UsageError("memory= is for networks with cross=True, which need it")
        if self.styled != (context.style is not None):
            raise UsageError("style= is for networks of a ModulatedBlock, which need it")

    def forward(self, x: Tensor, context: AttentionContext, checkpointing: bool = False) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        self.check(context)
        if self.rotary is not None:
            context = replace(context, rotation=self.rotary(context.positions))
        for index, block in enumerate(self.layers):
            if checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, context, index, use_reentrant=False)
            else:
                x = block(x, context, index)
        if context.cache is not None:
            context.cache.advance(x.shape[1])
        out: Tensor = self.norm(x)
        return out
