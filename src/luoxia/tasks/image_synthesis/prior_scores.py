"""How well a prior predicts held-out images: bits of their tokens, beside histograms that know no image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from luoxia.core.order import spread
from luoxia.decoding.grid import Order, order_of
from luoxia.metrics.score import LOWER, Score
from luoxia.metrics.token_bits import histogram_bits, placewise_bits
from luoxia.tasks.image_synthesis.conditions import ConditionBatch

ORDERS = 2
"""Orders in which each held-out image is predicted, where these are random."""
ROWS = 64
Indices = NDArray[np.int64]
MEANING = LOWER(
    "How many bits an image costs that the model has not seen: how well it knows what images are like."
)


@dataclass(frozen=True)
class Heldout:
    """Tokens (images, places, codebooks) of all images, and which of them were trained on and held out."""

    tokens: Any
    train: Indices
    heldout: Indices
    conditions: Callable[[Indices], ConditionBatch]
    """What is said of images."""
    vocabulary: int
    signature: dict[str, str | int | float]

    def bits(self, prior: nn.Module, order: Order, most: int | None = None) -> Score:
        """The score, of at most so many images (None: of all)."""
        rows = spread(self.heldout, most)
        costs = np.concatenate(
            [self._costs(prior, rows[first : first + ROWS], order) for first in range(0, len(rows), ROWS)]
        )
        train, unseen = np.asarray(self.tokens[self.train]), np.asarray(self.tokens[self.heldout])
        reference = histogram_bits(train, unseen, self.vocabulary)
        placewise = placewise_bits(train, unseen, self.vocabulary)
        spread_ = 1.96 * float(costs.std(ddof=1)) / math.sqrt(len(costs)) if len(costs) > 1 else 0.0
        mean = float(costs.mean())
        signature = {
            **self.signature,
            "images": len(rows),
            "order": order,
            "reference": "histogram of tokens",
            "histogram at each place": round(placewise, 2),
        }
        return Score(
            "held-out bits",
            mean,
            mean - spread_,
            mean + spread_,
            reference,
            "authenticity",
            signature,
            *MEANING,
        )

    @torch.inference_mode()
    def _costs(self, prior: nn.Module, rows: Indices, order: Order) -> NDArray[np.float64]:
        """Bits of each image, the mean over orders."""
        device = next(prior.parameters()).device
        tokens = torch.from_numpy(np.asarray(self.tokens[rows]).astype(np.int64)).to(device)
        conditions = self.conditions(rows).to(device)
        wanted = np.ones(tokens.shape[1], bool)
        training, total = prior.training, torch.zeros(len(rows), dtype=torch.float64)
        prior.eval()
        many = ORDERS if order == "random" else 1
        for number in range(many):
            orders = np.stack([order_of(order, number, int(row), wanted) for row in rows])
            places = torch.from_numpy(orders).to(device)
            ordered = tokens.gather(1, places[..., None].expand_as(tokens))
            total += token_bits(prior(ordered, places, conditions), ordered).cpu()
        prior.train(training)
        return (total / many).numpy()


def token_bits(logits: Tensor, tokens: Tensor) -> Tensor:
    """Logits (n, t, codebooks, vocabulary), tokens (n, t, codebooks) → bits of each row (n,), float64."""
    nats = -logits.float().log_softmax(-1).gather(-1, tokens[..., None])
    return nats.double().sum((1, 2, 3)) / math.log(2)
