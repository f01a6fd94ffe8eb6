"""Grids of tokens from a Transformer, place by place: guided, or around tokens that are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.core.order import generator_for
from luoxia.decoding.distribution import noise
from luoxia.decoding.loop import Decoding, draw
from luoxia.decoding.steps import evaluating
from luoxia.nn.conditioning import Condition
from luoxia.nn.grid_decoder import GridDecoder

Order = Literal["random", "raster"]


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): logits u + ``scale`` · (c − u).

    c are those with the condition, u those without it or with the negative one. A ``scale`` of 1 is the model's own
    distribution, and costs nothing. It applies while a share of the tokens within ``interval`` is drawn (Kynkäänniemi
    et al. 2024, arXiv:2404.07724): outside of it, u is not computed.
    """

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.interval
        if not 0 <= low <= high <= 1:
            raise UsageError(
                f"interval={low:g},{high:g} is invalid: must be two shares, from 0 to 1, in order"
            )

    def stretches(self, first: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """(first, end, guided) of each stretch of the tokens ``first`` to ``end``, where interval is of all ``end``.

        >>> list(Guidance(2.0, (0.25, 0.5)).stretches(0, 8))
        [(0, 2, False), (2, 4, True), (4, 8, False)]
        >>> list(Guidance().stretches(3, 8))
        [(3, 8, False)]
        """
        low, high = (round(share * end) for share in self.interval) if self.scale != 1 else (end, end)
        cuts = [first, min(max(low, first), end), min(max(high, first), end), end]
        for here, there, guided in zip(cuts, cuts[1:], (False, True, False), strict=False):
            if here < there:
                yield here, there, guided


@dataclass(frozen=True)
class KnownTokens:
    """What is known of n grids: ``tokens`` (n, places, codebooks) int64 and ``wanted`` (n, places) bool, True = to be
    drawn, of as many places in each; n = 1 is the same for all.
    """

    tokens: Tensor
    wanted: Tensor


@torch.inference_mode()
def draw_grids(
    network: GridDecoder,
    numbers: Sequence[int],
    sampling: Decoding,
    *,
    order: Order = "random",
    prefix: Condition | None = None,
    against: Condition | None = None,
    guidance: Guidance | None = None,
    known: KnownTokens | None = None,
) -> Tensor:
    """A grid for each of ``numbers``: tokens (n, places, codebooks) int64, places with the last axis fastest.

    Grid i is a function of (seed, i), its prefix and the settings, but for the rounding of kernels, which can differ
    with the shape of a batch. ``sampling`` says how a token is drawn: temperature, top_k, top_p, min_p, seed.
    ``prefix`` is the condition of each row, ``against`` that of guidance. ``known`` tokens stay as they are.

    Raises:
        UsageError: guidance without ``against``, or known tokens that the ``order`` does not begin with.
    """
    guidance = guidance or Guidance()
    if guidance.scale != 1 and against is None:
        raise UsageError(f"guidance={guidance.scale:g} needs a model with a condition: leave it at 1")
    rows = _Rows(network, numbers, sampling, order, known)
    with evaluating(network):
        for first, end, guided in guidance.stretches(rows.first, network.places):
            rows.go(first, end, prefix, against if guided else None, guidance.scale)
    return rows.tokens


class _Rows:
    """The grids of a batch on their way."""

    def __init__(
        self,
        network: GridDecoder,
        numbers: Sequence[int],
        sampling: Decoding,
        order: Order,
        known: KnownTokens | None,
    ) -> None:
        device, places, books = network.device, network.places, network.codebooks
        self.network, self.sampling = network, sampling
        wanted = np.ones((1, places), bool) if known is None else known.wanted.cpu().numpy()
        self.first = int(places - wanted[0].sum())
        rows = np.broadcast_to(wanted, (len(numbers), places))
        orders = [
            order_of(order, sampling.seed, number, own) for number, own in zip(numbers, rows, strict=True)
        ]
        self.order = torch.from_numpy(np.stack(orders)).to(device)
        self.tokens = torch.zeros(len(numbers), places, books, dtype=torch.int64, device=device)
        if known is not None:
            self.tokens[:] = known.tokens.to(device)
        uniform = torch.stack([noise(sampling.seed, number, places * books) for number in numbers], dim=1)
        self.uniform = uniform.view(places, books, -1).to(
            "cpu" if device.type == "mps" else device
        )  # no float64

    def at(self, first: int, end: int) -> Tensor:
        """The tokens from ``first`` to ``end`` in their order: (n, end − first, codebooks)."""
        places = self.order[:, first:end, None].expand(-1, -1, self.network.codebooks)
        return self.tokens.gather(1, places)

    def go(
        self, first: int, end: int, prefix: Condition | None, against: Condition | None, scale: float
    ) -> None:
        """Draw the tokens from ``first`` to ``end``: one pass over those before, then one a token."""
        n = len(self.order)
        twice = 1 if against is None else 2
        if against is not None:
            assert prefix is not None
            prefix = one_after_other(prefix, against)
        cache = self.network.begin(n * twice, prefix)
        own = torch.cat([self.order.new_full((n, 1), -1), self.order[:, :first]], dim=1)
        tokens, target = self.at(0, first), self.order[:, : first + 1]
        for index in range(first, end):
            inputs = (part.repeat(twice, *[1] * (part.dim() - 1)) for part in (tokens, own, target))
            logits = self.network.step(*inputs, cache=cache, last=True)[:, 0].float()
            if against is not None:
                conditional, without = logits.chunk(2)
                logits = without + scale * (conditional - without)
            self.put(index, logits)
            tokens, own, target = (
                self.at(index, index + 1),
                *(self.order[:, i : i + 1] for i in (index, index + 1)),
            )

    def put(self, index: int, logits: Tensor) -> None:
        """Draw token ``index`` of each row, of its order, from logits (n, codebooks, vocabulary)."""
        drawn = self.choose(logits.flatten(0, 1), self.uniform[index].t().flatten())
        places = self.order[:, index, None, None].expand(-1, -1, logits.shape[1])
        self.tokens.scatter_(1, places, drawn.view(len(logits), 1, -1))

    def choose(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Logits (rows, vocabulary) → tokens (rows,)."""
        return draw(logits, self.sampling, uniform) if self.sampling.temperature else logits.argmax(-1)


def order_of(order: Order, seed: int, number: int, wanted: np.ndarray) -> np.ndarray:
    """The places of a grid in the order in which its tokens are read, int64: first those that are not ``wanted``.

    A random order is a pure function of (seed, number).
    """
    places = len(wanted)
    if order == "random":
        keys = generator_for("grid", seed, number).random_raw(places)
        return np.lexsort((keys, wanted)).astype(np.int64)
    if wanted.any() and wanted.argmax() + wanted.sum() != places:
        raise UsageError(
            "a model of order=raster draws each grid from its beginning to its end and cannot fill holes: "
            "train one with order=random"
        )
    return np.arange(places)


def one_after_other(first: Condition, second: Condition) -> Condition:
    """The rows of two conditions, below each other; the shorter one is padded."""
    length = max(first.length, second.length)
    parts = [_padded(condition, length) for condition in (first, second)]
    masks = [part.mask for part in parts]
    if all(mask is None for mask in masks):
        return Condition(torch.cat([part.vectors for part in parts]))
    whole = [
        torch.ones(part.vectors.shape[:2], dtype=torch.bool, device=part.vectors.device) for part in parts
    ]
    mask = torch.cat([one if mask is None else mask for mask, one in zip(masks, whole, strict=True)])
    return Condition(torch.cat([part.vectors for part in parts]), mask)


def _padded(condition: Condition, length: int) -> Condition:
    """With padding before its vectors."""
    more = length - condition.length
    if not more:
        return condition
    vectors, mask = condition.vectors, condition.mask
    if mask is None:
        mask = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
    padding = vectors.new_zeros(len(vectors), more, vectors.shape[2])
    return Condition(torch.cat([padding, vectors], 1), torch.cat([mask.new_zeros(len(mask), more), mask], 1))
