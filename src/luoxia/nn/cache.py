"""The cache of the keys and values that came before."""

from __future__ import annotations

import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.nn.conditioning import Condition


class Cache:
    """Keys and values of every layer so far, preallocated and written by index.

    ``length`` positions are filled. ``start`` (n,), if given, is the index of the first real token in each left-padded
    row. The first ``prefix`` positions are seen by all. ``memory`` holds the cross-attention's keys and values of each
    layer, ``memory_mask`` which of them are real.

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
        self.prefix = 0
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

    def open_with(self, prefix: Condition) -> None:
        """The next positions are those of a prefix, its real vectors last."""
        if self.length or self.start is not None:
            raise UsageError(
                "a prefix stands before all tokens and padding: give it to an empty cache without start="
            )
        self.prefix, start = prefix.length, prefix.start
        self.start = start if start is not None and bool(start.any()) else None

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
        """Forget the tokens and a prefix, keep the memory and the allocation."""
        if self.prefix:
            self.prefix, self.start = 0, None
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
