"""Muon on the hidden matrices, AdamW on everything else, as one optimizer."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from luoxia.nn.linear import LastLayer
from luoxia.nn.torch_private import each
from luoxia.training.hardware import has_fast_bf16
from luoxia.training.sharding import like, whole

QUINTIC = (3.4445, -4.7750, 2.0315)
"""a, b, c of a·x + b·x³ + c·x⁵, which sends singular values towards 1 fastest (Jordan et al. 2024)."""
ITERATIONS = 5


def orthogonalize(matrices: Tensor) -> Tensor:
    """Newton–Schulz iterations on all of ``matrices`` (k, r, c) at once, r ≤ c: each UΣVᵀ becomes about UVᵀ.

    In bfloat16, as the iteration bears it, where the hardware has that; else in float32.
    """
    a, b, c = QUINTIC
    x = matrices.to(torch.bfloat16 if has_fast_bf16(matrices.device) else torch.float32)
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        x = torch.bmm(polynomial, x)
    return x


class Muon(torch.optim.Optimizer):
    """What ``torch.optim.Muon`` computes, with matrices of equal shape orthogonalized together.

    The update of an (o, i) matrix is scaled by √max(1, o / i), as its authors do. ``found_inf``, if set to a scalar on
    the device, is 1 where an update must change nothing, as in ``torch``'s fused optimizers. Of sharded matrices, every
    process orthogonalizes all and keeps its part.
    """

    found_inf: Tensor | None = None

    def __init__(self, matrices: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """B ← μB + (1 − μ)g; each matrix W ← (1 − lr·λ)W − lr·√max(1, o / i) · orthogonalized((1 − μ)g + μB)."""
        bad = self.found_inf
        keep: float | Tensor = 1.0 if bad is None else 1.0 - bad
        for group in self.param_groups:
            lr, weights = group["lr"], [p for p in group["params"] if p.grad is not None]
            directions = [whole(matrix) for matrix in self._directions(weights, group["momentum"], bad)]
            if group["weight_decay"]:
                each("mul_", weights, 1.0 - lr * group["weight_decay"] * keep)
            for shape, members in _by_shape(directions).items():
                steps = orthogonalize(torch.stack([_wide(directions[i]) for i in members]))
                if bad is not None:
                    steps *= keep
                for index, step in zip(members, steps, strict=True):
                    weight = weights[index]
                    scale = math.sqrt(max(1.0, weight.shape[0] / weight.shape[1]))
                    step = step.T if weight.shape != shape else step
                    weight.add_(like(step, weight), alpha=-lr * scale)

    def _directions(self, weights: list[Tensor], momentum: float, bad: Tensor | None) -> list[Tensor]:
        """Nesterov's momentum of each matrix."""
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        buffers = [self.state[weight]["momentum_buffer"] for weight in weights]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if bad is not None:  # a buffer moved towards itself stays
            gradients = [torch.where(bad > 0, b, g) for b, g in zip(buffers, gradients, strict=True)]
        each("lerp_", buffers, gradients, 1.0 - momentum)
        return each("lerp", gradients, buffers, momentum)


def _wide(matrix: Tensor) -> Tensor:
    """The matrix or its transpose, whichever has no more rows than columns."""
    return matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix


def _by_shape(matrices: Iterable[Tensor]) -> dict[torch.Size, list[int]]:
    """Shape of the wide matrix → the indices of those that have it."""
    groups: defaultdict[torch.Size, list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        groups[_wide(matrix).shape].append(index)
    return groups


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) orthogonalizes the momentum of each hidden matrix by Newton–Schulz iterations.

    Embeddings, the head, norms and biases learn by AdamW, at ``adam_lr``; only matrices decay.
    """

    found_inf: Tensor | None = None

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
        """``rest``: AdamW's parameter groups. A group that is added later is AdamW's too, unless it has ``muon``."""
        self._adam = torch.optim.AdamW(rest, lr=adam_lr, betas=betas, eps=eps, fused=True)
        self._muon = Muon(hidden, lr, momentum, weight_decay) if hidden else None
        groups = [{**group, "muon": True} for group in self._muon.param_groups] if self._muon else []
        super().__init__([*groups, *self._adam.param_groups], {**self._adam.defaults, "muon": False})

    @property
    def _parts(self) -> list[torch.optim.Optimizer]:
        return [part for part in (self._muon, self._adam) if part is not None]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters."""
        for part in self._parts:
            part.state = self.state
            part.param_groups = [g for g in self.param_groups if g["muon"] == (part is self._muon)]
            part.found_inf, part.grad_scale = self.found_inf, None  # type: ignore[attr-defined]
            part.step()


def hidden_matrices(network: nn.Module) -> list[Tensor]:
    """The weights of linear layers, but for a ``LastLayer``: what lies between an embedding and the logits."""
    embedded = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    return [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.Linear)
        and not isinstance(module, LastLayer)
        and id(module.weight) not in embedded
    ]
