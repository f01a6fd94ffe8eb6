"""From configuration to ``torch.optim``, and the learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from luoxia.training.muon import MuonAdamW, hidden_matrices

if TYPE_CHECKING:
    from luoxia.recipe import Optimiser, Schedule


def make_optimiser(
    network: nn.Module, settings: Optimiser, lr: float, lazy_every: int = 1
) -> torch.optim.Optimizer:
    """The optimiser of one network.

    ``lazy_every`` = k > 1 rescales Adam's learning rate and betas by k / (k + 1), so that the extra updates of a lazy
    phase leave its pace unchanged (Karras et al. 2020, arXiv:1912.04958, appendix B).
    """
    parameters = list(network.parameters())
    ratio = lazy_every / (lazy_every + 1) if lazy_every > 1 else 1.0
    decay, eps, momentum = settings.weight_decay, settings.eps, settings.momentum
    if settings.name == "rmsprop":
        return torch.optim.RMSprop(
            parameters, lr=lr, eps=eps, weight_decay=decay, momentum=momentum, foreach=True
        )
    if settings.name == "sgd":
        sgd = torch.optim.SGD(parameters, lr=lr, weight_decay=decay, momentum=momentum, fused=True)
        if (
            momentum
        ):  # zeros mean the same; the fused kernel would leave memory unset if the first update is skipped
            for parameter in parameters:
                sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)
        return sgd
    betas = (settings.betas[0] ** ratio, settings.betas[1] ** ratio)
    if settings.name == "muon":
        hidden = hidden_matrices(network)
        known = {id(parameter) for parameter in hidden}
        rest = _decaying([p for p in parameters if id(p) not in known], decay)
        return MuonAdamW(
            hidden, rest, lr, settings.adam_lr or lr,
            betas=betas, eps=eps, momentum=momentum or 0.95, weight_decay=decay,
        )  # fmt: skip
    if settings.name == "adamw":
        return torch.optim.AdamW(
            _decaying(parameters, decay), lr=lr * ratio, betas=betas, eps=eps, fused=True
        )
    return torch.optim.Adam(parameters, lr=lr * ratio, betas=betas, eps=eps, weight_decay=decay, fused=True)


def _decaying(parameters: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Groups for AdamW: matrices decay, gains and biases do not (Radford et al. 2018, section 4.1)."""
    matrices = [p for p in parameters if p.dim() > 1]
    vectors = [p for p in parameters if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def schedule_factor(schedule: Schedule, step: int, progress: float) -> float:
    """The learning rate at ``step`` as a share of its start; ``progress`` in [0, 1] is how much of the run is over."""
    warmup = min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else 1.0
    progress = min(max(progress, 0.0), 1.0)
    fall = {"constant": 0.0, "linear": progress, "cosine": 0.5 * (1 - math.cos(math.pi * progress))}[
        schedule.name
    ]
    return warmup * (1 - fall * (1 - schedule.final))


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The 2-norm of all gradients together, a scalar on their device."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def state_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by ``parameter index.name``."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    return {
        f"{i}.{name}": value
        for i, parameter in enumerate(parameters)
        for name, value in optimiser.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_state_tensors(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what ``state_tensors`` returned, in each parameter's own memory format (fused kernels rely on it).

    Fused kernels also count their steps on the parameter's device; the others count on the CPU.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    fused = bool(optimiser.defaults.get("fused"))
    optimiser.state.clear()
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        same_shape = value.shape == parameter.shape
        if same_shape and name != "step":
            state = torch.empty_like(parameter, requires_grad=False)
        else:
            state = torch.empty_like(value, device=parameter.device if fused else value.device)
        optimiser.state[parameter][name] = state.copy_(value)
