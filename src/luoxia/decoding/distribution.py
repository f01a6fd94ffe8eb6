"""From logits to the next token: filters, each with its source, and sampling.

Every filter takes logits (n, v), float32, and returns them with -inf where a token is ruled out. They are meant to be
applied in the order in which they stand here.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

FIRST_LOOK = 256
"""Tokens that top-p sorts before it tries sixteen times as many: a trained network's mass lies in few."""


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Divide the score of a token ``seen`` (n, v) bool by θ, or multiply it if negative (CTRL, arXiv:1909.05858, 4.1).

    The paper divides always, which would reward a negative score; the sign rule is every implementation's.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best tokens of each row (Fan et al. 2018, arXiv:1805.04833, section 5): logits (n, k), ids (n, k)."""
    best = logits.topk(min(k, logits.shape[-1]))
    return best.values, best.indices


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """The fewest tokens whose probability reaches p (Holtzman et al. 2020, arXiv:1904.09751, eq. 2); ties stay."""
    probabilities = logits.softmax(-1)
    look, width = FIRST_LOOK, logits.shape[-1]
    while True:
        best = probabilities.topk(min(look, width)).values
        mass = best.cumsum(-1)
        if look >= width or bool((mass[:, -1] >= p).all()):
            break
        look *= 16
    before = mass - best  # of the better tokens; the best of all is kept whatever p is
    before[:, 0] = -1.0
    least = best.masked_fill(before >= p, math.inf).amin(-1, keepdim=True)
    return logits.masked_fill(probabilities < least, -math.inf)


def keep_min_p(logits: Tensor, p: float) -> Tensor:
    """The tokens at least p times as likely as the likeliest (Nguyen et al. 2024, arXiv:2407.01082, section 3)."""
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), -math.inf)


def noise(seed: int, row: int, tokens: int) -> Tensor:
    """The uniform numbers (tokens,), float64 in [0, 1), that pick row ``row``'s tokens, one each.

    They are a pure function of (seed, row, position): not of the batch, the device or the number of tokens.
    """
    numbers = np.random.Generator(np.random.Philox(key=[seed, row])).random(tokens)
    return torch.from_numpy(numbers).clamp_(max=1 - 2**-40)  # so that u times the whole mass stays below it


def pick(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw one token of each row of logits (n, v) by inverting its distribution at ``uniform`` (n,) → (n,) int64.

    One random number a token, where argmax(p / Exp(1)) needs v of them. The sums are in float64 and where ``uniform``
    is, so that rounding moves no token's share by more than 1e-15; a token of probability 0 is never drawn.
    """
    below = logits.softmax(-1).to(uniform.device).cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(below, uniform[:, None] * below[:, -1:], right=True)[:, 0].to(logits.device)
