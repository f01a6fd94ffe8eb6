"""From configuration to ``torch.optim``, and the learning rate over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from luoxia.core.values import Annealed, value_at
from luoxia.nn.torch_private import adam_
from luoxia.training.muon import MuonAdamW, hidden_matrices
from luoxia.training.sharding import like, whole

if TYPE_CHECKING:
    from luoxia.training.objective import Phase
    from luoxia.training.recipe import Optimizer, Recipe, Schedule


class SkipNonFinite(torch.optim.Optimizer):
    """An optimizer that respects ``found_inf``, 1 on the device where an update must change nothing, as fused ones do.

    ``averages``: what it keeps of each parameter, made at once, so that the first update can be undone too.
    """

    found_inf: Tensor | None = None
    averages: tuple[str, ...]

    def remember(self) -> None:
        """Make the averages, of zeros, which mean the same as none."""
        for parameter in (p for group in self.param_groups for p in group["params"]):
            for name in self.averages:
                self.state[parameter][name] = torch.zeros_like(parameter, requires_grad=False)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update, or one that is undone; the mark is used up."""
        bad, self.found_inf = self.found_inf, None
        weights = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        touched = [*weights, *(self.state[p][name] for p in weights for name in self.averages)]
        if bad is None:
            super().step()
            return
        before = [tensor.clone() for tensor in touched]
        super().step()
        for tensor, old in zip(touched, before, strict=True):
            tensor.copy_(torch.where(bad > 0, old, tensor))


class RMSprop(SkipNonFinite, torch.optim.RMSprop):
    """``torch.optim.RMSprop``, undoing updates that are not finite."""

    def __init__(self, parameters: list[nn.Parameter], *, momentum: float, **settings: Any) -> None:
        super().__init__(parameters, momentum=momentum, foreach=True, **settings)
        self.averages = ("square_avg", "momentum_buffer") if momentum else ("square_avg",)
        self.remember()
        for parameter in parameters:
            self.state[parameter]["step"] = torch.zeros(())


class SGD(SkipNonFinite, torch.optim.SGD):
    """``torch.optim.SGD``, undoing updates that are not finite."""

    def __init__(self, parameters: list[nn.Parameter], *, momentum: float, **settings: Any) -> None:
        super().__init__(parameters, momentum=momentum, foreach=True, **settings)
        self.averages = ("momentum_buffer",) if momentum else ()
        self.remember()


class AdamBeta1Zero(torch.optim.Adam):
    """``torch.optim.Adam`` under β1 = 0, where the first moment is the gradient (Kingma & Ba 2015, algorithm 1).

    It is not kept: an update reads and writes a moment less, and a checkpoint holds one less. torch's kernel is called
    without torch's sorting of parameters, which takes as long as the update of a small network: a network's parameters
    are of one type and on one device.
    """

    found_inf: Tensor | None = None
    grad_scale: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; the gradient stands where the kernel looks for the moment, and is used up."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            gradients = [p.grad for p in moved]
            states = [self._state_of(parameter) for parameter in moved]
            steps = [state["step"] for state in states]
            adam_(
                moved, gradients, [state["exp_avg_sq"] for state in states], steps,
                lr=group["lr"], beta2=group["betas"][1], weight_decay=group["weight_decay"], eps=group["eps"],
                grad_scale=self.grad_scale, found_inf=self.found_inf,
            )  # fmt: skip

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        state.pop("exp_avg", None)  # of a checkpoint that had one
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg_sq"] = torch.zeros_like(parameter, requires_grad=False)
        return state


def for_phases(
    network: nn.Module, name: str, recipe: Recipe, phases: Iterable[Phase]
) -> torch.optim.Optimizer:
    """The optimizer of the network called ``name``, at the pace of the phases that update it."""
    lr = recipe.learning_rates().get(name, recipe.lr)
    own = [phase for phase in phases if phase.updates == name]
    lazy = max((phase.every for phase in own), default=1)
    if lazy > 1:  # updates between two lazy ones, not steps
        lazy *= max(1, sum(phase.repeat for phase in own if phase.every == 1))
    optimizer = make_optimizer(network, recipe.optimizer, lr, lazy)
    for group in optimizer.param_groups:
        group["initial_lr"], group["lazy_ratio"] = group["lr"], lazy_ratio(lazy)
    return optimizer


def make_optimizer(
    network: nn.Module, settings: Optimizer, lr: float, lazy_every: int = 1
) -> torch.optim.Optimizer:
    """The optimizer of one network.

    ``lazy_every`` = k > 1 rescales Adam's learning rate and betas by k / (k + 1), so that the extra updates of a lazy
    phase leave its pace unchanged (Karras et al. 2020, arXiv:1912.04958, appendix B).
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    ratio = lazy_ratio(lazy_every)
    decay, eps, momentum = settings.weight_decay, settings.eps, settings.momentum
    if settings.name == "rmsprop":
        return RMSprop(parameters, lr=lr, eps=eps, weight_decay=decay, momentum=momentum)
    if settings.name == "sgd":
        return SGD(parameters, lr=lr, weight_decay=decay, momentum=momentum)
    betas = (settings.betas[0] ** ratio, value_at(settings.betas[1], 0.0) ** ratio)
    if settings.name == "muon":
        hidden = [p for p in hidden_matrices(network) if p.requires_grad]
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
    adam = torch.optim.Adam if betas[0] else AdamBeta1Zero
    return adam(parameters, lr=lr * ratio, betas=betas, eps=eps, weight_decay=decay, fused=True)


def lazy_ratio(every: int) -> float:
    """K / (k + 1): what a lazy phase every k updates makes of Adam's learning rate and of its betas' exponents."""
    return every / (every + 1) if every > 1 else 1.0


def follow_schedule(
    optimizer: torch.optim.Optimizer, settings: Optimizer, factor: float, share: float
) -> None:
    """Set the learning rate to ``factor`` of its highest, and β2 to what it is when ``share`` of its course is over."""
    beta2 = settings.betas[1]
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
        if isinstance(beta2, Annealed) and "betas" in group:
            group["betas"] = (group["betas"][0], beta2.at(share) ** group["lazy_ratio"])


def _decaying(parameters: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Groups for AdamW: matrices decay, gains and biases do not (Radford et al. 2018, section 4.1)."""
    matrices = [p for p in parameters if p.dim() > 1]
    vectors = [p for p in parameters if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def schedule_factor(schedule: Schedule, step: int, progress: float) -> float:
    """The learning rate at ``step``, from 0, as a share of its highest.

    ``progress`` in [0, 1] is how much of the run is over.
    ``inverse_sqrt`` is Vaswani et al. 2017, eq. 3: min(s / warmup, √(warmup / s)) for s = step + 1; its highest, there
    (width · warmup)^-½, is ``lr``.
    """
    warmup = min(1.0, (step + 1) / schedule.warmup) if schedule.warmup else 1.0
    if schedule.name == "inverse_sqrt":
        return warmup * math.sqrt(min(1.0, max(schedule.warmup, 1) / (step + 1)))
    progress = (min(max(progress, 0.0), 1.0) - schedule.hold) / (1 - schedule.hold)
    progress = max(progress, 0.0)
    fall = {"constant": 0.0, "linear": progress, "cosine": 0.5 * (1 - math.cos(math.pi * progress))}[
        schedule.name
    ]
    return warmup * (1 - fall * (1 - schedule.final))


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The 2-norm of all gradients together, of all shards, a scalar on their device."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients and all(map(_flat, gradients)):
        rows = [gradient.detach().view(-1) for gradient in gradients]
        return torch.stack([torch.dot(row, row) for row in rows]).sum().sqrt()
    return whole(torch.nn.utils.get_total_norm(gradients))


def _flat(gradient: Tensor) -> bool:
    """Whether BLAS reads it as a vector: with all threads, where the kernel of norms uses one."""
    return type(gradient) is Tensor and gradient.device.type == "cpu" and gradient.is_contiguous()


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors by ``parameter index.name``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"{i}.{name}": value
        for i, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_state_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what ``state_tensors`` returned, in each parameter's own memory format (fused kernels rely on it).

    Fused kernels also count their steps on the parameter's device; the others count on the CPU.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    fused = bool(optimizer.defaults.get("fused"))
    optimizer.state.clear()
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        same_shape = value.shape == parameter.shape
        if same_shape and name != "step":
            state = torch.empty_like(parameter, requires_grad=False)
        else:
            state = torch.empty_like(value, device=parameter.device if fused else value.device)
        optimizer.state[parameter][name] = state.copy_(like(value, state))
