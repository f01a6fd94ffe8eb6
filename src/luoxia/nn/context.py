"""What a position may see, and where it is: computed once in a pass, for all layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.nn.cache import Cache
from luoxia.nn.conditioning import Condition


@dataclass
class AttentionContext:
    """What one pass through the network computes once, for all of its layers."""

    positions: Tensor  # (t,) or (n, t), counted from a row's or document's first real token; on a grid (..., t, axes)
    mask: Tensor | None = None  # broadcasts to (n, 1, t, s), True = may be seen; None = see ``causal``
    causal: bool = False  # the triangular mask, left to the kernel
    bounds: Tensor | None = None  # (documents + 1,), with ``causal``: see `attention.attend_packed`
    rotation: tuple[Tensor, Tensor] | None = None
    cache: Cache | None = None
    memory: Tensor | None = None  # (n, s, width), what cross-attention reads
    memory_mask: Tensor | None = None  # (n, 1, 1, s)
    style: Tensor | None = None  # (n, width), for blocks whose norms it shifts and scales

    def with_memory(self, memory: Condition | None) -> AttentionContext:
        """The same with what cross-attention reads: the cache's own, if there is a cache."""
        if self.cache is not None:
            return replace(self, memory_mask=self.cache.memory_mask)
        if memory is None:
            return self
        return replace(self, memory=memory.vectors, memory_mask=over_keys(memory.mask))


def causal_mask(
    queries: Tensor, keys: Tensor, window: int | None, same: Tensor | None = None, prefix: int = 0
) -> Tensor:
    """What position i may see: no key j after it, none further back than i - window + 1, and all of the prefix.

    Queries (t,) and keys (s,) are positions in the row, whose first ``prefix`` are the prefix; ``same`` (n, t, s)
    further narrows each row. Returns a mask (1 or n, 1, t, s), True = may be seen.
    """
    distance = queries[:, None] - keys
    mask = distance >= 0
    if window is not None:
        mask = mask & (distance < window)
    if prefix:
        mask = mask | (keys < prefix)
    if same is not None:
        mask = mask & same
    return mask.view(-1, 1, *mask.shape[-2:])


def over_keys(mask: Tensor | None) -> Tensor | None:
    """A mask (n, s) of real tokens as a mask (n, 1, 1, s) of what every query may see."""
    return None if mask is None else mask[:, None, None, :]


def since_start(segments: Tensor) -> Tensor:
    """Positions (n, t) that start from 0 wherever the segment number (n, t) changes."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    changed = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0))
    return index - torch.where(changed, index, 0).cummax(dim=1).values


def real(prefix: Condition | None, mask: Tensor | None, length: int) -> Tensor | None:
    """Which of ``length`` positions (n, length) are real, those of a prefix included; None = all."""
    if prefix is None or (prefix.mask is None and mask is None):
        return mask
    before, after = prefix.mask, mask
    if before is None:
        before = prefix.vectors.new_ones(prefix.vectors.shape[:2], dtype=torch.bool)
    if after is None:
        after = before.new_ones(len(before), length - prefix.length)
    return torch.cat([before, after], 1)


def full_context(
    length: int, device: torch.device, mask: Tensor | None = None, prefix: Condition | None = None
) -> AttentionContext:
    """How an encoder sees ``length`` positions: all that are real.

    The length includes the ``prefix``, whose real vectors stand last; ``mask`` (n, t) is of what follows it.
    """
    mask = real(prefix, mask, length)
    if mask is None:
        return AttentionContext(torch.arange(length, device=device))
    return AttentionContext(since_start(mask.long()), over_keys(mask))


def causal_context(
    length: int,
    device: torch.device,
    window: int | None = None,
    cache: Cache | None = None,
    *,
    mask: Tensor | None = None,
    segments: Tensor | None = None,
    bounds: Tensor | None = None,
    prefix: Condition | None = None,
) -> AttentionContext:
    """How a decoder sees ``length`` positions: the prefix, the past in the same segment, and what the cache holds.

    The length includes the ``prefix``, whose real vectors stand last; ``mask`` (n, t) is of what follows it. ``bounds``
    of the segments, for a kernel that knows documents, takes the place of their mask.
    """
    if cache is not None:
        if prefix is not None:
            cache.open_with(prefix)
        return cached_context(length, window, cache)
    if prefix is not None and segments is not None:
        raise UsageError("a prefix belongs to a whole row: give each packed document a row of its own")
    index = torch.arange(length, device=device)
    first = 0 if prefix is None else prefix.length
    mask = real(prefix, mask, length)
    if mask is not None:  # padding is a document of its own, so that no row of the softmax is empty
        segments = mask.long() if segments is None else torch.where(mask, segments, -1)
    if segments is not None and bounds is not None:
        return AttentionContext(since_start(segments), causal=True, bounds=bounds)
    if segments is not None:
        same = segments[:, :, None] == segments[:, None, :]
        return AttentionContext(since_start(segments), causal_mask(index, index, window, same, first))
    if first > 1 or (window is not None and window < length):
        return AttentionContext(index, causal_mask(index, index, window, None, first))
    return AttentionContext(index, causal=True)


def cached_context(t: int, window: int | None, cache: Cache) -> AttentionContext:
    """The same for the next t tokens after those in the cache."""
    queries = cache.upcoming(t)
    if cache.static:
        keys = cache.index
    else:
        keys = cache.index[: cache.length + t]
        alike = cache.length == 0 and cache.prefix <= 1  # the kernel's own triangle is what all may see
        if cache.start is None and (window is None or len(keys) <= window) and (t == 1 or alike):
            return AttentionContext(queries, causal=t > 1, cache=cache)
    if cache.start is None:
        return AttentionContext(queries, causal_mask(queries, keys, window, None, cache.prefix), cache=cache)
    start = cache.start[:, None]
    same = (queries >= start)[:, :, None] == (keys >= start)[:, None, :]
    mask = causal_mask(queries, keys, window, same, cache.prefix)
    return AttentionContext((queries - start).clamp(min=0), mask, cache=cache)
