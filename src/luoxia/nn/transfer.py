"""Beginning with trained weights: those that fit are loaded, and the first blocks of a discriminator may be frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from luoxia.core.errors import UsageError


@runtime_checkable
class Layered(Protocol):
    """A discriminator that can be frozen in part."""

    def lower_layers(self) -> list[nn.Module]:
        """Its blocks in the order in which an image passes them, without the last layer, which gives the logit."""
        ...


@dataclass(frozen=True)
class LoadReport:
    """Names of a network's tensors: those that were ``loaded``, and the ``fresh`` ones, as they were initialized."""

    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    values: int
    """Numbers that were loaded."""
    of: int
    """Numbers in all tensors."""

    def as_dict(self) -> dict[str, object]:
        """For run.json."""
        tensors = len(self.loaded) + len(self.fresh)
        return {
            "tensors": len(self.loaded), "of_tensors": tensors, "values": self.values, "of_values": self.of,
            "fresh": list(self.fresh),
        }  # fmt: skip


@dataclass(frozen=True)
class Classes:
    """The names of the classes, in order, of the trained network and of the one that begins with its weights."""

    before: Sequence[str]
    now: Sequence[str]

    @property
    def both(self) -> dict[int, int]:
        """Place now → place before, of those whose name has stayed."""
        places = {name: place for place, name in enumerate(self.before)}
        return {place: places[name] for place, name in enumerate(self.now) if name in places}

    def as_dict(self) -> dict[str, list[str]]:
        """For run.json: the classes whose vectors were loaded, those that are new, those of before alone."""
        return {
            "carried": [name for name in self.now if name in self.before],
            "fresh": [name for name in self.now if name not in self.before],
            "left": [name for name in self.before if name not in self.now],
        }


def class_axes(network: nn.Module) -> dict[str, int]:
    """Name of each tensor that holds something of every class → its axis that numbers them."""
    axes = {name: getattr(module, "class_axis", None) for name, module in network.named_modules()}
    forms = ("weight", "parametrizations.weight.original")  # the second under spectral normalization
    named = {f"{name}.{form}": axis for name, axis in axes.items() if axis is not None for form in forms}
    return named | {f"{name}.bias": 0 for name, axis in axes.items() if axis == 0}


@torch.no_grad()
def load_matching(
    network: nn.Module, trained: Mapping[str, Tensor], classes: Classes | None = None
) -> LoadReport:
    """Give a network every trained tensor whose name and shape it has; the rest stay as they are.

    What belongs to a class goes to the class of the same name, wherever it stands among ``classes``.
    """
    own, axes = network.state_dict(), class_axes(network)
    loaded: dict[str, Tensor] = {}
    values = 0
    for name, value in trained.items():
        if classes is not None and name in axes and name in own:
            fitting = _by_class(own[name], value, axes[name], classes)
            values += 0 if fitting is None else value.numel() // len(classes.before) * len(classes.both)
        else:
            fitting = value if name in own and own[name].shape == value.shape else None
            values += 0 if fitting is None else value.numel()
        if fitting is not None:
            loaded[name] = fitting
    network.load_state_dict({**own, **loaded})
    return LoadReport(
        tuple(name for name in own if name in loaded),
        tuple(name for name in own if name not in loaded),
        values,
        sum(value.numel() for value in own.values()),
    )


def _by_class(own: Tensor, trained: Tensor, axis: int, classes: Classes) -> Tensor | None:
    """``own`` with the trained vectors of the classes that both know; None where there are none that fit."""
    new, old = own.clone().movedim(axis, 0), trained.movedim(axis, 0)
    fits = new.shape[1:] == old.shape[1:] and len(new) == len(classes.now) and len(old) == len(classes.before)
    if not fits or not classes.both:
        return None
    for place, before in classes.both.items():
        new[place] = old[before]
    return new.movedim(0, axis).contiguous()


def freeze(discriminator: nn.Module, blocks: int) -> None:
    """FreezeD (Mo et al. 2020, arXiv:2002.10964): the first ``blocks`` blocks keep their weights.

    ``UsageError`` for a discriminator that has fewer, or does not say which they are.
    """
    if blocks == 0:
        return
    if not isinstance(discriminator, Layered):
        raise UsageError(
            f"freeze_d={blocks} needs a discriminator with a method lower_layers(), "
            f"which {type(discriminator).__name__} lacks"
        )
    lower = discriminator.lower_layers()
    if blocks > len(lower):
        raise UsageError(f"freeze_d={blocks}: this discriminator has {len(lower)} blocks that can be frozen")
    for layer in lower[:blocks]:
        layer.requires_grad_(False)
