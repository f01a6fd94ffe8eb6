"""A network as config.json tells of it: a class by name from its task's closed table, and its sizes.

The file may be anybody's: sizes are bounded, and what cannot be built is one sentence.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from luoxia.core.errors import UsageError
from luoxia.core.names import readable
from luoxia.tasks.base import Network, imported
from luoxia.tasks.record import LARGEST, ModelRecord

SLACK = 10_000
"""Numbers that a network may have more than twice its weights."""
LONGEST = 2**22
"""No size in config.json is above: the context of the longest rows that a recipe allows."""
Spec = TypeVar("Spec")


def record_of(table: Mapping[str, Network], network: nn.Module) -> dict[str, Any]:
    """``network`` for config.json: its class's name in ``table`` and its sizes.

    {} where ``table`` does not list the class, or where the network was changed after it was built: its recipe is then
    needed to build it again.
    """
    kind = type(network)
    place = f"{kind.__module__}:{kind.__qualname__}"
    name = next((name for name, listed in table.items() if listed in (kind, place)), None)
    if name is None or str(_without_memory(kind, network.config)) != str(network):
        return {}
    return {"network": {"class": name, "sizes": asdict(network.config)}}  # type: ignore[call-overload]


def network_of(record: ModelRecord, weights: Mapping[str, torch.Tensor], old: Callable[[Any], Any]) -> Any:
    """The network that config.json tells of, for these ``weights``; it is yet to be given them.

    ``old`` builds it by its recipe, in a folder of before 0.2, or of a class that the task does not list.

    Raises:
        ValueError: config.json tells of no network, of one that cannot be built, or of one that is not that of the
            weights.
    """
    recorded = record.config.get("network")
    if recorded is None:
        return old(record.recipe)
    kind, sizes = _told(record.task.networks, recorded)
    try:
        with no_larger_than(weights, on="meta"):
            form = _without_memory(kind, sizes)
    except Exception as error:  # whatever goes wrong: the sizes may be anything
        raise ValueError(f"config.json tells of a network that cannot be built: {error}") from error
    for name, tensor in form.state_dict().items():
        if name in weights and weights[name].shape != tensor.shape:
            raise ValueError(
                f"config.json tells of another network than that of the weights: {name} has the shape "
                f"{tuple(tensor.shape)} there, and {tuple(weights[name].shape)} in model.safetensors"
            )
    return kind(sizes)


def _told(table: Mapping[str, Network], told: Any) -> tuple[Any, Any]:
    """The class and the sizes that a ``network`` of config.json names."""
    if not isinstance(told, Mapping) or told.keys() != {"class", "sizes"}:
        raise ValueError("config.json is damaged: network must have class and sizes, and nothing else")
    if not isinstance(told["class"], str) or told["class"] not in table:
        known = ", ".join(table) or "none"
        raise ValueError(f"config.json names the network {readable(told['class'])}; known are {known}")
    listed = table[told["class"]]
    kind = imported(listed) if isinstance(listed, str) else listed
    return kind, spec_of(get_type_hints(kind.__init__)["config"], told["sizes"], LONGEST)


def _without_memory(kind: Any, sizes: Any) -> nn.Module:
    """The network with tensors that have shapes and no numbers."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        built: nn.Module = kind(sizes)
    return built


def spec_of(kind: type[Spec], told: Any, largest: int = LARGEST) -> Spec:
    """The ``kind`` of dataclass that a part of config.json tells of; ``ValueError`` where it cannot be one."""
    if not isinstance(told, Mapping) or any(abs(number) > largest for number in _numbers(told)):
        raise ValueError("config.json is damaged: it tells of sizes that no network has")
    unknown = sorted(told.keys() - {field.name for field in fields(kind)})  # type: ignore[arg-type]
    if unknown:
        raise ValueError(f"config.json is damaged: {readable(unknown[0])} is not a size of this network")
    try:
        return TypeAdapter(kind).validate_json(json.dumps(told), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"config.json is damaged: {place}: {first['msg'][0].lower()}{first['msg'][1:]}"
        ) from error
    except UsageError as error:  # of the dataclass itself
        raise ValueError(f"config.json is damaged: {error}") from error


def _numbers(told: Any) -> Iterator[int]:
    """All whole numbers in a value of JSON."""
    if isinstance(told, int):
        yield told
    elif isinstance(told, Mapping | list):
        for value in told.values() if isinstance(told, Mapping) else told:
            yield from _numbers(value)


@contextlib.contextmanager
def no_larger_than(weights: Mapping[str, torch.Tensor], on: str = "cpu") -> Iterator[None]:
    """Networks built in here may have twice the numbers of ``weights``, which are to be loaded, and no more.

    ``config.json`` may ask for any size; what is asked for is refused before it is filled. Tensors of another device
    than ``on`` are not counted.
    """
    left, here = 2 * sum(tensor.numel() for tensor in weights.values()) + SLACK, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        if parameter is not None and parameter.device.type == on and threading.get_ident() == here:
            left -= max(1, parameter.numel())  # or there could be any number of empty ones
            if left < 0:
                raise ValueError("config.json asks for a network that is larger than the weights")

    hook = nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
