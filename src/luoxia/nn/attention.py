"""Attention, and the norms that it needs.

Written for Vaswani et al. 2017 (arXiv:1706.03762), sections 3.2 and 3.5, and the later refinements that are named
where they stand. Heads are the last but one dimension until the kernel runs: (n, t, heads, head width).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.nn import fused_ops
from luoxia.nn.context import AttentionContext
from luoxia.nn.dropout import dropout as drop
from luoxia.nn.linear import Linear
from luoxia.nn.positions import Pair, rotate
from luoxia.nn.torch_private import packed_attention
from luoxia.nn.transformer_config import TransformerConfig


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float) -> Tensor:
    """softmax(QKᵀ/√d_k)V (eq. 1) per head: q (n, heads, t, d), k and v (n, kv_heads, s, d) → (n, t, heads · d).

    Each head of keys serves heads / kv_heads heads of queries (Ainslie et al. 2023, arXiv:2305.13245).
    """
    n, heads, t, d = q.shape
    groups = k.shape[1]
    if groups < heads and t == 1 and not dropout:  # the queries of a group as rows of one: no key is copied
        out = F.scaled_dot_product_attention(q.reshape(n, groups, heads // groups, d), k, v, attn_mask=mask)
        return out.reshape(n, 1, heads * d)
    if groups == heads and products_are_faster(q, k, dropout):
        out = attend_by_products(q, k, v, mask, causal, dropout)
    else:
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal, enable_gqa=groups < heads
        )
    return out.transpose(1, 2).reshape(n, t, heads * d)


def attend_packed(q: Tensor, k: Tensor, v: Tensor, bounds: Tensor) -> Tensor:
    """The same for rows of documents that do not see each other: ``bounds`` says where each begins, rows end to end.

    No mask is made, and nothing is computed of what it would hide.
    """
    n, _, t, _ = q.shape
    q, k, v = (x.transpose(1, 2).flatten(0, 1).to(v.dtype) for x in (q, k, v))
    return packed_attention(q, k, v, bounds, t).reshape(n, t, -1)


def products_are_faster(q: Tensor, k: Tensor, dropout: float) -> bool:
    """Training in bfloat16 or with dropout on a CPU: its kernel's backward pass takes three times as long there."""
    return (
        q.device.type == "cpu"
        and q.requires_grad
        and (q.dtype == torch.bfloat16 or dropout > 0)
        and q.shape[2] * k.shape[2] <= 512**2  # all weights are kept for the backward pass
    )


@lru_cache(maxsize=8)
def triangle(t: int, s: int, dtype: torch.dtype) -> Tensor:
    """The causal mask as what is added to the scores (t, s): 0, or -∞ for what comes later."""
    return torch.full((t, s), -torch.inf, dtype=dtype, device="cpu").triu_(1)


def attend_by_products(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, dropout: float
) -> Tensor:
    """Eq. 1 as it is written, with as many heads of keys as of queries: (n, heads, t, d)."""
    n, heads, t, d = q.shape
    s = k.shape[2]
    if causal:
        bias = triangle(t, s, q.dtype)
    elif mask is None:
        bias = q.new_zeros(())
    else:
        bias = q.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
        bias = bias.expand(n, heads, t, s).reshape(-1, t, s)
    q, k, v = (x.reshape(n * heads, -1, d) for x in (q, k, v))
    scores = torch.add(bias, torch.bmm(q, k.transpose(1, 2)), alpha=1 / math.sqrt(d))
    weights = drop(scores.softmax(-1), dropout)
    return torch.bmm(weights, v).view(n, heads, t, d)


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """x / √(mean(x²) + ε) over the last dimension (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4)."""
    if not fused_ops.worthwhile(x):
        return F.rms_norm(x, x.shape[-1:], None, eps)
    y: Tensor = fused_ops.Normalized.apply(x, eps)  # type: ignore[no-untyped-call]
    return y


class RMSNorm(nn.Module):
    """Root mean square normalization over the last dimension, with or without a learned gain."""

    def __init__(self, width: int, eps: float, affine: bool) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """X (..., width) → the same shape."""
        x = rms_norm(x, self.eps)
        return x if self.weight is None else x * self.weight


def normalization(config: TransformerConfig) -> nn.Module:
    """The norm over the width that ``config`` asks for."""
    if config.norm == "rms":
        return RMSNorm(config.width, config.norm_eps, config.norm_affine)
    return nn.LayerNorm(config.width, config.norm_eps, config.norm_affine, bias=config.bias)


class HeadNorm(nn.Module):
    """QK-norm (Henry et al. 2020, arXiv:2010.04245): each head of queries and keys at unit mean square.

    ``weight`` (2, d), if affine: the gains of the queries and of the keys.
    """

    def __init__(self, heads: int, kv_heads: int, width: int, eps: float, affine: bool) -> None:
        super().__init__()
        self.sizes = (heads, kv_heads)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(2, width)) if affine else None

    def forward(self, x: Tensor, rotation: Pair | None = None) -> Tensor:
        """X (n, t, heads + kv_heads, d) → the same shape, each pair of components then turned by ``rotation``."""
        if rotation is None:
            return self.norm(x)
        if self.weight is None and fused_ops.worthwhile(x):
            turned: Tensor = fused_ops.NormalizedAndRotated.apply(x, *rotation, self.eps)  # type: ignore[no-untyped-call]
            return turned
        return rotate(self.norm(x), rotation)

    def norm(self, x: Tensor) -> Tensor:
        """At unit mean square, times the gains."""
        x = rms_norm(x, self.eps)
        if self.weight is None:
            return x
        gains = [g.expand(size, -1) for g, size in zip(self.weight, self.sizes, strict=True)]
        return x * torch.cat(gains).to(x.dtype)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself (section 3.2.2).

    One projection makes all heads: the rows of ``qkv`` are the heads of queries, then of keys, then of values.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        head_width: int,
        *,
        qkv_bias: bool,
        bias: bool,
        norm: HeadNorm | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.qkv = Linear(width, (heads + 2 * kv_heads) * head_width, bias=qkv_bias)
        self.norm = norm
        self.output = Linear(heads * head_width, width, bias=bias)
        self.dropout = dropout

    def forward(self, x: Tensor, context: AttentionContext, layer: int) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        n, t, _ = x.shape
        x = self.qkv(x).view(n, t, -1, self.head_width)
        if self.norm is None and context.rotation is None:
            q, k, v = x.transpose(1, 2).split_with_sizes([self.heads, self.kv_heads, self.kv_heads], 1)
        else:
            qk, v = x.split_with_sizes([self.heads + self.kv_heads, self.kv_heads], 2)
            if self.norm is not None:
                qk = self.norm(qk, context.rotation)
            elif context.rotation is not None:
                qk = rotate(qk, context.rotation)
            q, k = qk.transpose(1, 2).split_with_sizes([self.heads, self.kv_heads], 1)
            v = v.transpose(1, 2)
        if context.cache is not None:
            k, v = context.cache.write(layer, k, v)
            q = q.to(k.dtype)
        if context.bounds is not None:
            mixed = attend_packed(q, k, v, context.bounds)
        else:
            mixed = attend(q, k, v, context.mask, context.causal, self.dropout if self.training else 0.0)
        out: Tensor = self.output(mixed)
        return out


class CrossAttention(nn.Module):
    """Attention to a memory, such as an encoder's output (section 3.2.3): ``kv`` makes keys, then values."""

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int,
        head_width: int,
        *,
        qkv_bias: bool,
        bias: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, head_width
        self.query = Linear(width, heads * head_width, bias=qkv_bias)
        self.kv = Linear(width, 2 * kv_heads * head_width, bias=qkv_bias)
        self.output = Linear(heads * head_width, width, bias=bias)
        self.dropout = dropout

    def remember(self, memory: Tensor) -> Pair:
        """The keys and values (n, kv_heads, s, d) of a memory (n, s, width)."""
        k, v = self.kv(memory).unflatten(-1, (2, self.kv_heads, self.head_width)).unbind(2)
        return k.transpose(1, 2), v.transpose(1, 2)

    def forward(self, x: Tensor, context: AttentionContext, layer: int) -> Tensor:
        """X (n, t, width) → (n, t, width)."""
        cached = None if context.cache is None else context.cache.memory
        if cached is not None:
            k, v = cached[layer]
        else:
            assert context.memory is not None
            k, v = self.remember(context.memory)
        q = self.query(x).unflatten(-1, (self.heads, self.head_width)).transpose(1, 2).to(k.dtype)
        mixed = attend(q, k, v, context.memory_mask, False, self.dropout if self.training else 0.0)
        out: Tensor = self.output(mixed)
        return out
