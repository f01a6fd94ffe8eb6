"""How well a flow estimates held-out images, beside what is known of each pixel by itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.order import spread
from luoxia.media.image.batches import to_float
from luoxia.media.image.images import ImageDataset
from luoxia.metrics.score import LOWER, Score
from luoxia.nn.flow_matching import gaussian_estimate
from luoxia.tasks.image_synthesis.conditions import ConditionBatch, Conditioned
from luoxia.tasks.shared.flow_matching import fixed_errors

MOST = 1024
"""Held-out images that are looked at."""
ROWS = 64
MEANING = LOWER(
    "How far the velocities that it estimates under noise are from those that lead to images it has not seen: how well "
    "it knows what images are like."
)
Indices = NDArray[np.int64]


def heldout_loss(
    estimate: Callable[..., Tensor],
    data: ImageDataset,
    train: Indices,
    heldout: Indices,
    conditions: Callable[[Indices], ConditionBatch],
    *,
    t_mean: float,
    t_spread: float,
    device: torch.device,
) -> Score:
    """The loss on held-out images at fixed times and noise.

    The reference is the least that can be reached without looking at other pixels, if each is Gaussian.
    """
    some = torch.from_numpy(np.asarray(data.images[spread(train, 4096)]))
    pixels = to_float(some).to(device)
    mean, variance = pixels.mean(0), pixels.var(0)
    rows = spread(heldout, MOST)
    losses: list[Tensor] = []
    for number, first in enumerate(range(0, len(rows), ROWS)):
        part = rows[first : first + ROWS]
        x = to_float(torch.from_numpy(np.asarray(data.images[part]))).to(device)
        batch = Conditioned(x, conditions(part).to(device))
        alone = [estimate, lambda z, t, _: gaussian_estimate(z, t, mean, variance)]
        errors = [fixed_errors(one, batch, t_mean, t_spread, number).double().cpu() for one in alone]
        losses.append(torch.stack(errors))
    model, pixelwise = torch.cat(losses, 1)
    value = float(model.mean())
    half = 1.96 * float(model.std()) / math.sqrt(len(model)) if len(model) > 1 else 0.0
    signature: dict[str, str | int | float] = {
        "data": data.fingerprint[:8],
        "images": len(rows),
        "t": f"logit normal {t_mean:g} {t_spread:g}",
        "reference": "each pixel by itself",
    }
    low, high = value - half, value + half
    return Score(
        "held-out loss", value, low, high, float(pixelwise.mean()), "authenticity", signature, *MEANING
    )
