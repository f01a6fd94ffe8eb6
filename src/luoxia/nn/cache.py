"""What a position may see: masks, and the cache of the keys and values that came before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from luoxia.core.errors import UsageError


def causal_mask(queries: Tensor, keys: Tensor, window: int | None, same: Tensor | None = None) -> Tensor:
    """What position i may see: no key j after it, none further back than i - window + 1.

    Queries (t,) and keys (s,) are positions in the row; ``same`` (n, t, s) further narrows each row.
    Returns a mask (1 or n, 1, t, s), True = may be seen.
    """
    distance = queries[:, None] - keys
    mask = distance >= 0
    if window is not None:
        mask = mask & (distance < window)
    if same is not None:
        mask = mask & same
    return mask.view(-1, 1, *mask.shape[-2:])


def since_start(segments: Tensor) -> Tensor:
    """Positions (n, t) that start from 0 wherever the segment number (n, t) changes."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    changed = F.pad(segments[:, 1:] != segments[:, :-1], (1, 0))
    return index - torch.where(changed, index, 0).cummax(dim=1).values


class Cache:
    """Keys and values of every layer so far, preallocated and written by index.

    ``length`` positions are filled. ``start`` (n,), if given, is the index of the first real token in each left-padded
    row. ``memory`` holds the cross-attention's keys and values of each layer, ``memory_mask`` which of them are real.

    With ``static``, every step has the same shapes and reads the whole allocation under a mask, and the position lives
    on the device: such a step can be captured in a CUDA graph. Without it, a step reads only what is filled.
    """

    def __init__(
        self,
        shape: tuple[int, int, int, int, int],
        *,
        dtype: torch.dtype,
        device: torch.device | str,
        start: Tensor | None = None,
        static: bool = False,
    ) -> None:
        """Allocate for a ``shape`` of (layers, rows, heads of keys, length, head width)."""
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.start = start.to(device) if start is not None and bool(start.any()) else None
        self.static = static
        self.memory: list[tuple[Tensor, Tensor]] | None = None
        self.memory_mask: Tensor | None = None
        self.index = torch.arange(shape[3], device=device)
        self._owner = torch.arange(shape[1], device=device)  # which memory belongs to each row
        self._place = self.index[:0]  # where the tokens of this pass go
        self._length = 0
        self._filled = torch.zeros(1, dtype=torch.int64, device=device)

    @property
    def capacity(self) -> int:
        """The most positions it can hold."""
        return self.keys.shape[3]

    @property
    def length(self) -> int:
        """How many positions are filled (a wait for the device, if ``static``)."""
        return int(self._filled) if self.static else self._length

    def upcoming(self, t: int) -> Tensor:
        """The row positions (t,) of the next t tokens, which ``write`` then fills in each layer."""
        if self.static:
            self._place = self._filled + self.index[:t]
            return self._place
        if self._length + t > self.capacity:
            raise UsageError(
                f"the cache holds {self.capacity} tokens and {self._length + t} are needed: "
                "make it longer or generate fewer tokens"
            )
        return self.index[self._length : self._length + t]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the next keys and values (n, heads, t, d) of one layer; returns all that may be read."""
        t = keys.shape[2]
        if self.static:
            self.keys[layer].index_copy_(2, self._place, keys.to(self.keys.dtype))
            self.values[layer].index_copy_(2, self._place, values.to(self.values.dtype))
            return self.keys[layer], self.values[layer]
        k, v, end = self.keys[layer], self.values[layer], self._length + t
        k.narrow(2, self._length, t).copy_(keys)
        v.narrow(2, self._length, t).copy_(values)
        return k.narrow(2, 0, end), v.narrow(2, 0, end)

    def advance(self, t: int) -> None:
        """All layers have written t more positions."""
        if self.static:
            self._filled += t
        else:
            self._length += t

    def reset(self) -> None:
        """Forget the tokens, keep the memory and the allocation."""
        self._filled.zero_()
        self._length = 0

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes what row ``rows[i]`` was: beam search, widening to beams, dropping finished rows."""
        if len(rows) == self.keys.shape[1]:
            used = slice(0, self.length)
            self.keys[..., used, :] = self.keys[..., used, :].index_select(1, rows)
            self.values[..., used, :] = self.values[..., used, :].index_select(1, rows)
        else:
            self.keys, self.values = self.keys.index_select(1, rows), self.values.index_select(1, rows)
        if self.start is not None:
            self.start = self.start[rows]
        owner = self._owner[rows]
        if self.memory is not None and not torch.equal(owner, self._owner):
            self.memory = [(k[rows], v[rows]) for k, v in self.memory]
            self.memory_mask = None if self.memory_mask is None else self.memory_mask[rows]
        self._owner = owner


@dataclass
class AttentionContext:
    """What one pass through the network computes once, for all of its layers."""

    positions: Tensor  # (t,) or (n, t), counted from the first real token of a row or of a document
    mask: Tensor | None = None  # broadcasts to (n, 1, t, s), True = may be seen; None = see ``causal``
    causal: bool = False  # the triangular mask, left to the kernel
    bounds: Tensor | None = None  # (documents + 1,), with ``causal``: see `attention.attend_packed`
    rotation: tuple[Tensor, Tensor] | None = None
    cache: Cache | None = None
    memory: Tensor | None = None  # (n, s, width), the encoder's output
    memory_mask: Tensor | None = None  # (n, 1, 1, s)
    style: Tensor | None = None  # (n, width), for blocks whose norms it shifts and scales


def over_keys(mask: Tensor | None) -> Tensor | None:
    """A mask (n, s) of real tokens as a mask (n, 1, 1, s) of what every query may see."""
    return None if mask is None else mask[:, None, None, :]


def full_context(ids: Tensor, mask: Tensor | None) -> AttentionContext:
    """How an encoder sees ids (n, t): all that ``mask`` (n, t) says is real."""
    if mask is None:
        return AttentionContext(torch.arange(ids.shape[1], device=ids.device))
    return AttentionContext(since_start(mask.long()), over_keys(mask))


def causal_context(
    ids: Tensor,
    window: int | None = None,
    cache: Cache | None = None,
    mask: Tensor | None = None,
    segments: Tensor | None = None,
    bounds: Tensor | None = None,
) -> AttentionContext:
    """How a decoder sees ids (n, t): the past in the same segment, and what the cache holds.

    ``bounds`` of the segments, for a kernel that knows documents, takes the place of their mask.
    """
    if cache is not None:
        return cached_context(ids.shape[1], window, cache)
    t = ids.shape[1]
    index = torch.arange(t, device=ids.device)
    if mask is not None:  # padding is a document of its own, so that no row of the softmax is empty
        segments = mask.long() if segments is None else torch.where(mask, segments, -1)
    if segments is not None and bounds is not None:
        return AttentionContext(since_start(segments), causal=True, bounds=bounds)
    if segments is not None:
        same = segments[:, :, None] == segments[:, None, :]
        return AttentionContext(since_start(segments), causal_mask(index, index, window, same))
    if window is not None and window < t:
        return AttentionContext(index, causal_mask(index, index, window))
    return AttentionContext(index, causal=True)


def cached_context(t: int, window: int | None, cache: Cache) -> AttentionContext:
    """The same for the next t tokens after those in the cache."""
    queries = cache.upcoming(t)
    if cache.static:
        keys = cache.index
    else:
        keys = cache.index[: cache.length + t]
        if cache.start is None and (window is None or len(keys) <= window) and (t == 1 or cache.length == 0):
            return AttentionContext(queries, causal=t > 1, cache=cache)
    if cache.start is None:
        return AttentionContext(queries, causal_mask(queries, keys, window), cache=cache)
    start = cache.start[:, None]
    same = (queries >= start)[:, :, None] == (keys >= start)[:, None, :]
    return AttentionContext(
        (queries - start).clamp(min=0), causal_mask(queries, keys, window, same), cache=cache
    )
