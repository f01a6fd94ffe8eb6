"""Which other text means the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.tasks.shared.understanding import Understanding
from luoxia.training.gathering import gather_rows, processes
from luoxia.training.objective import Examples


@dataclass
class TextPairs(Examples):
    """Pairs of texts: ``first`` (n, s) and ``second`` (n, t) int64, each with its mask, True = real token."""

    first: Tensor
    first_mask: Tensor
    second: Tensor
    second_mask: Tensor

    def __len__(self) -> int:
        return len(self.first)


def info_nce(first: Tensor, second: Tensor, temperature: float, wrong: Tensor | None = None) -> Tensor:
    """−log of the softmax share of each pair among all answers to it, over both directions, in float32.

    ``first`` and ``second`` (n, d) are unit vectors; logits are cosines / ``temperature`` (van den Oord et al. 2018,
    arXiv:1807.03748, eq. 4; Gao et al. 2021, arXiv:2104.08821, eq. 1), and the two directions are averaged. The answers
    are those of all processes, N in all. Two pairs that are not to be held against each other, in either direction, are
    False in ``wrong`` (n, N) bool; a pair's own answer always counts.
    """
    rank, _ = processes()
    answers = rank * len(first) + torch.arange(len(first), device=first.device)
    losses = []
    with torch.autocast(first.device.type, enabled=False):
        for query, candidates in ((first.float(), second.float()), (second.float(), first.float())):
            logits = query @ gather_rows(candidates).T / temperature
            if wrong is not None:
                own = answers[:, None] == torch.arange(logits.shape[1], device=logits.device)
                logits = logits.masked_fill(~(wrong | own), float("-inf"))
            losses.append(F.cross_entropy(logits, answers))
    return (losses[0] + losses[1]) / 2


def fingerprints(ids: Tensor, mask: Tensor) -> Tensor:
    """A number (n,) int64 for each row of tokens ``ids`` (n, t), the same whatever padding follows them.

    Σ tᵢ · kⁱ modulo 2⁶⁴, over the real tokens: two different texts share one by a chance of about 2⁻⁶⁴.
    """
    multiplier = torch.full((ids.shape[1],), 6364136223846793005, dtype=torch.int64, device=ids.device)
    return ((ids + 1) * mask * multiplier.cumprod(0)).sum(1)


def differing(ids: Tensor, mask: Tensor) -> Tensor:
    """Which texts of this process (n, t) are others than which of all processes: (n, N) bool."""
    prints = fingerprints(ids, mask)
    return prints[:, None] != gather_rows(prints)[None, :]


class Contrastive(Understanding):
    """Texts that mean the same lie together: every other text of a batch is a wrong answer (InfoNCE).

    Texts that stand twice in a batch are not held against each other. Under several processes the batch is that of
    all of them.
    """

    phase = "contrast"
    weighting = "batch"

    def __init__(self, encoder: nn.Module, temperature: float = 0.05) -> None:
        super().__init__("encoder", encoder)
        self.temperature = temperature

    def nll(self, batch: TextPairs) -> Tensor:
        """Of the right answers."""
        encode = self.networks[self.name]
        wrong = differing(batch.first, batch.first_mask) & differing(batch.second, batch.second_mask)
        first, second = encode(batch.first, batch.first_mask), encode(batch.second, batch.second_mask)
        return info_nce(first, second, self.temperature, wrong)
