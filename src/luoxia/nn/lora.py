"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685): fine-tuning by a few columns and rows beside each matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.core.errors import UsageError


class LoRALinear(nn.Module):
    """h = W₀x + (α/r)·BAx (eq. 3, section 4.1) around a frozen linear layer W₀.

    A (r, in) starts at random and B (out, r) at zero, so that training starts from W₀ itself. Both stay in float32
    where W₀ is shorter, for small steps would be rounded away. ``dropout`` is of the adapter's input.
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        scale: float,
        dropout: float,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.rank, self.scale = rank, scale
        device = base.weight.device
        self.a = nn.Parameter(torch.empty(rank, base.in_features, device=device, dtype=torch.float32))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank, device=device, dtype=torch.float32))
        self.dropout = nn.Dropout(dropout)
        # U(±1/√in), as the paper's public code; section 4.1 says only "a random Gaussian initialization"
        draw = torch.empty(self.a.shape).uniform_(-1, 1, generator=generator)
        with torch.no_grad():
            self.a.copy_(draw / math.sqrt(base.in_features))

    @property
    def weight(self) -> Tensor:
        """W₀ + (α/r)·BA (out, in), in the type of W₀."""
        return (self.base.weight.float() + self.scale * (self.b @ self.a)).to(self.base.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """X (..., in) → (..., out)."""
        h: Tensor = self.base(x)
        low = F.linear(self.dropout(x).to(self.a.dtype), self.a)
        return h + (self.scale * F.linear(low, self.b)).to(h.dtype)


def add_lora(
    network: nn.Module,
    rank: int = 8,
    alpha: float = 16.0,
    targets: Sequence[str] | None = None,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> list[str]:
    """Put an adapter of ``rank`` around each linear layer of ``network``, in place; only adapters train from then on.

    ``targets`` are ends of layers' names, such as ``qkv`` or ``feed_forward.up``; None takes every ``nn.Linear``.
    ``alpha`` scales the adapters by α/r; ``generator`` (a CPU's) draws A. Returns the names of the adapted layers.
    """
    if rank < 1 or not 0 <= dropout < 1:
        raise UsageError(f"LoRA needs rank ≥ 1 and 0 ≤ dropout < 1, not rank={rank} and dropout={dropout}")
    if any(True for _ in adapters(network)):
        raise UsageError("the network has LoRA adapters already: fold them into its weights first")
    linear = {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear)}
    chosen = [name for name in linear if targets is None or any(_ends(name, target) for target in targets)]
    unused = [target for target in targets or () if not any(_ends(name, target) for name in linear)]
    if unused or not chosen:
        known = ", ".join(sorted({name.rpartition(".")[2] for name in linear})) or "none"
        raise UsageError(f"no linear layer is called {', '.join(unused) or 'so'}; LoRA can adapt: {known}")
    network.requires_grad_(False)
    for name in chosen:
        replace_module(network, name, LoRALinear(linear[name], rank, alpha / rank, dropout, generator))
    return chosen


def _ends(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def replace_module(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put ``module`` in the place of the one called ``name``, in the same mode of training."""
    parent, _, last = name.rpartition(".")
    module.train(network.get_submodule(name).training)
    setattr(network.get_submodule(parent), last, module)


def adapters(network: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """Each adapted layer and its name."""
    for name, module in network.named_modules():
        if isinstance(module, LoRALinear):
            yield name, module


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Merge for good: plain linear layers take the adapted ones' places, and all weights can train again."""
    for name, layer in list(adapters(network)):
        layer.base.weight.copy_(layer.weight)
        replace_module(network, name, layer.base)
    network.requires_grad_(True)


def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """The weights as after ``fold``, under the plain network's names; the network itself stays as it is."""
    state: dict[str, Tensor] = network.state_dict()
    for name, layer in adapters(network):
        for key in [key for key in state if key.startswith(f"{name}.")]:
            del state[key]
        state[f"{name}.weight"] = layer.weight.detach()
        if layer.base.bias is not None:
            state[f"{name}.bias"] = layer.base.bias.detach()
    return state
