"""Objectives that understand texts: which class, and which other text means the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.objectives.base import Examples, Losses, Objective, Phase, Rng
from luoxia.objectives.gathering import gather_rows, processes


@dataclass
class LabelledTexts(Examples):
    """Texts ``ids`` (n, t) int64 with ``mask`` (n, t) bool, True = real token, and their ``labels`` (n,) int64.

    What is seen is counted in real tokens.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen = int(self.mask.sum())

    def __len__(self) -> int:
        return len(self.ids)


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
        for asked, answered in ((first.float(), second.float()), (second.float(), first.float())):
            logits = asked @ gather_rows(answered).T / temperature
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
    found = fingerprints(ids, mask)
    return found[:, None] != gather_rows(found)[None, :]


class Understanding(Objective):
    """One network, one loss. A subclass says what a batch costs."""

    phase: str
    weighting: Literal["example", "batch"] = "example"

    def __init__(self, name: str, network: nn.Module) -> None:
        self.name = name
        self.networks = {name: network}
        self.averaged = (name,)
        self.statistics = {}

    def nll(self, batch: Any) -> Tensor:
        """−log p of what is right, the mean of a batch."""
        raise NotImplementedError

    def phases(self) -> Iterator[Phase]:
        """One."""
        yield Phase(self.phase, self.losses, self.name, weighting=self.weighting)

    def losses(self, batch: Any, rng: Rng) -> Losses:
        """Nats an answer."""
        return {"nll": self.nll(batch)}

    @torch.no_grad()
    def observe(self, train: Any, heldout: Any | None, rng: Rng) -> dict[str, Tensor]:
        """Nats on batches it has and has not been trained on, without dropout or smoothing."""
        network = self.networks[self.name].eval()
        batches = {"train_nll": train, "heldout_nll": heldout}
        observed = {name: self.nll(batch) for name, batch in batches.items() if batch is not None}
        network.train()
        return observed


class Classification(Understanding):
    """The class of a text: min −log p(y | x), labels smoothed (Szegedy et al. 2016, arXiv:1512.00567, section 7)."""

    phase = "classification"

    def __init__(self, classifier: nn.Module, smoothing: float = 0.1) -> None:
        super().__init__("classifier", classifier)
        self.smoothing = smoothing

    def logits(self, batch: LabelledTexts) -> Tensor:
        """Of the classes: (n, classes)."""
        logits: Tensor = self.networks[self.name](batch.ids, batch.mask)
        return logits

    def nll(self, batch: LabelledTexts) -> Tensor:
        """Of the right classes."""
        return F.cross_entropy(self.logits(batch), batch.labels)

    def losses(self, batch: LabelledTexts, rng: Rng) -> Losses:
        """Nats a text, labels smoothed."""
        loss = F.cross_entropy(self.logits(batch), batch.labels, label_smoothing=self.smoothing)
        return {"nll": loss}


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
