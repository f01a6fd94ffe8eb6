"""Muon on the hidden matrices, AdamW on everything else, as one optimiser."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) orthogonalises the momentum of each hidden matrix by Newton–Schulz iterations.

    Embeddings, the head, norms and biases learn by AdamW, at ``adam_lr``; only matrices decay. The update of an (o, i)
    matrix is scaled by √max(1, o / i), as its authors do.
    """

    def __init__(
        self,
        hidden: list[Tensor],
        rest: list[dict[str, Any]],
        lr: float,
        adam_lr: float,
        *,
        betas: tuple[float, float],
        eps: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        """``rest``: AdamW's parameter groups. The base class is not initialised: each part does what it would."""
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=adam_lr, betas=betas, eps=eps, foreach=True)
        ]
        if hidden:
            muon = torch.optim.Muon(hidden, lr=lr, momentum=momentum, weight_decay=weight_decay)
            self.parts.insert(0, muon)
        self.state: defaultdict[Tensor, Any] = defaultdict(dict)
        self.param_groups = []
        self.defaults: dict[str, Any] = {}
        for part in self.parts:
            part.state = self.state
            self.param_groups += part.param_groups

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters."""
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none)


def hidden_matrices(network: nn.Module) -> list[Tensor]:
    """The weights of linear layers, but for the head's: what lies between an embedding and the logits."""
    embedded = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    return [
        module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and name.split(".")[-1] != "head"
        and id(module.weight) not in embedded
    ]
