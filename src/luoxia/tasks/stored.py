"""A model folder as it lies on the disk: its config.json, its recipe, its weights."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import read_object
from luoxia.core.names import readable
from luoxia.provenance.label import Label
from luoxia.runs.display import Display
from luoxia.runs.records import problem
from luoxia.tasks.menu import Recipe, recorded
from luoxia.training.checkpoint import load_latest

LARGEST = 2**31
"""No size of a network is above."""
SLACK = 10_000
"""Numbers that a network may have more than twice its weights."""
Spec = TypeVar("Spec")


@dataclass(frozen=True)
class Stored:
    """What was written when a model was exported."""

    folder: Path
    config: dict[str, Any]
    recipe: Recipe

    @classmethod
    def read(cls, folder: Path) -> Stored:
        """``UsageError`` for the folder of a newer Luoxia; see ``usable`` for all else."""
        config = read_object(folder / "config.json")
        if isinstance(config.get("format"), int) and config["format"] > 1:
            told = readable(config.get("luoxia"))
            raise UsageError(f"{folder} was written by Luoxia {told}, newer than this one; upgrade luoxia")
        if wrong := problem("config.json", config):
            raise ValueError(f"config.json is damaged: {wrong}")
        recipe = recorded(config, folder, Display().tell).from_settings(config["config"])
        for name in type(recipe).model_fields.keys() - Recipe.model_fields.keys():
            if isinstance(size := getattr(recipe, name), int) and abs(size) > LARGEST:
                raise ValueError(f"config.json is damaged: {name} is {readable(size)}")
        return cls(folder, config, recipe)

    @property
    def details(self) -> Label:
        """Where a sample of it comes from."""
        name = type(self.recipe).name or type(self.recipe).__name__  # the path of a file stays private
        return Label(recipe=name, **{key: self.config[key] for key in ("run", "step", "data")})

    def weights(self, checkpoints: Path | None = None, network: str = "") -> dict[str, torch.Tensor]:
        """Those of the folder, or of a network in the last of ``checkpoints``."""
        if checkpoints is None:
            file = self.folder / "model.safetensors"
            if not file.is_file():  # a pipe would never end
                raise FileNotFoundError(f"{file} is not there")
            return load_file(file)
        tensors = load_latest(checkpoints).tensors
        if network not in tensors:
            raise ValueError(f"the last checkpoint has no {network}")
        return tensors[network]


def spec_of(kind: type[Spec], told: Mapping[str, Any]) -> Spec:
    """The ``kind`` of dataclass that a part of config.json tells of; ``ValueError`` where it cannot be one."""
    if any(isinstance(value, int) and abs(value) > LARGEST for value in told.values()):
        raise ValueError("config.json is damaged: it tells of sizes that no network has")
    return TypeAdapter(kind).validate_python(told)


@contextlib.contextmanager
def no_larger_than(weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Networks built in here may have twice the numbers of ``weights``, which are to be loaded, and no more.

    ``config.json`` may ask for any size; what is asked for is refused before it is filled.
    """
    left, here = 2 * sum(tensor.numel() for tensor in weights.values()) + SLACK, threading.get_ident()

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        nonlocal left
        if parameter is not None and threading.get_ident() == here:
            left -= parameter.numel()
            if left < 0:
                raise ValueError("config.json asks for a network that is larger than the weights")

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Say in a sentence that a model folder is damaged: its files cannot be read, or do not fit each other.

    Memory that ran out, and faults of our own, are told as what they are.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if _is_no_fault_of_files(error):
            raise
        told = " ".join(str(error).split())
        raise LuoxiaError(f"{folder} holds no usable model: {told[:300]}") from error


def _is_no_fault_of_files(error: Exception) -> bool:
    """Whether memory ran out, a device failed, or the code is wrong; never by words that may be those of a path."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if type(error) is RuntimeError:  # torch has no type of its own for these on CPUs and old GPUs
        return any(words in str(error) for words in ("DefaultCPUAllocator", "out of memory", "CUDA error"))
    return isinstance(error, RuntimeError)
