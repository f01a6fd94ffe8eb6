"""ADA's image-space filtering and corruptions (arXiv:2006.06676, appendix B), which it leaves out by default."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from luoxia.adversarial.ada.draws import chosen, lognormal, maybe
from luoxia.adversarial.ada.geometry import mirrored
from luoxia.training.objective import Rng

Line = NDArray[np.float64]

SYM2 = tuple((c + s * math.sqrt(3)) / (4 * math.sqrt(2)) for c, s in ((1, 1), (3, 1), (3, -1), (1, -1)))
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""What a natural image has of its energy in each band: about 1/f²."""
BAND_SCALE = 1.0  # standard deviation of log2
NOISE = 0.1  # standard deviation of the standard deviation
HIDDEN = 0.5  # of each side


@cache
def bands() -> Tensor:
    """Filters (4, taps) for [0, π/8], [π/8, π/4], [π/4, π/2] and [π/2, π], symmetric; their sum is one impulse."""
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = -low
    high[len(low) // 2] += 1
    found, coarse = [], np.ones(1)
    for level in range(3):
        step = 1 << level
        found.append(np.convolve(coarse, _spaced(high, step)))
        coarse = np.convolve(coarse, _spaced(low, step))
    found.append(coarse)
    return torch.from_numpy(np.stack([np.pad(f, (len(coarse) - len(f)) // 2) for f in found[::-1]]))


def _spaced(line: Line, step: int) -> Line:
    spaced = np.zeros((len(line) - 1) * step + 1)
    spaced[::step] = line
    return spaced


def filter_bands(x: Tensor, p: Tensor, rng: Rng) -> Tensor:
    """Strengthen or weaken each band with probability p, the energy of a natural image kept; x (n, c, h, w)."""
    n = len(x)
    power = torch.tensor(POWER, device=x.device)
    gains = torch.ones(n, len(POWER), device=x.device)
    for band in range(len(POWER)):
        own = maybe(lognormal(n, BAND_SCALE, rng), 1.0, p, rng)
        changed = torch.ones_like(gains)
        changed[:, band] = own
        gains = gains * changed / (power * changed.square()).sum(1, keepdim=True).sqrt()
    return filtered(x, gains.to(x) @ bands().to(x.dtype).to(x.device))


def filtered(x: Tensor, lines: Tensor) -> Tensor:
    """X (n, c, h, w) convolved along rows and columns with a symmetric line (n, taps) of its own, mirrored outside."""
    n, c, h, w = x.shape
    taps = lines.shape[1]
    weight = lines.repeat_interleave(c, 0)[:, None]  # (n · c, 1, taps)
    rows, columns = (
        mirrored(torch.arange(-(taps // 2), s + taps // 2, device=x.device), s).long() for s in (h, w)
    )
    y = x[:, :, rows][:, :, :, columns].reshape(1, n * c, len(rows), len(columns))
    y = F.conv2d(F.conv2d(y, weight[:, :, :, None], groups=n * c), weight[:, :, None, :], groups=n * c)
    return y.view(n, c, h, w)


def add_noise(x: Tensor, p: Tensor, rng: Rng) -> Tensor:
    """Normal noise, of a strength of each image's own, with probability p."""
    strength = maybe(rng.normal(len(x)).abs() * NOISE, 0.0, p, rng)
    return x + (rng.normal(*x.shape) * strength[:, None, None, None]).to(x)


def cut_out(x: Tensor, p: Tensor, rng: Rng) -> Tensor:
    """Set a rectangle of half of each side to gray (0), anywhere, with probability p."""
    n, _, h, w = x.shape
    middle = rng.uniform(n, 2)
    rows = ((torch.arange(h, device=x.device) + 0.5) / h - middle[:, :1]).abs() < HIDDEN / 2
    columns = ((torch.arange(w, device=x.device) + 0.5) / w - middle[:, 1:]).abs() < HIDDEN / 2
    hidden = rows[:, None, :, None] & columns[:, None, None, :] & chosen(n, p, rng)[:, None, None, None]
    return x.masked_fill(hidden, 0.0)
