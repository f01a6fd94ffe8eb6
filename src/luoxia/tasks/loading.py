"""Opening trained models, whose files may be anybody's: damage is one sentence."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.tasks.base import article
from luoxia.tasks.networks import no_larger_than
from luoxia.tasks.record import ModelRecord
from luoxia.training.hardware import choose_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_model(
    record: ModelRecord,
    *,
    ema: bool = True,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype | None = None,
    quantize: str | None = None,
    adapter: str | Path | None = None,
) -> Any:
    """The model of ``record``, ready to use; see ``luoxia.load``."""
    place = choose_device(str(device))
    common = precision_of(dtype, quantize)
    if quantize and not record.task.quantizes:
        raise UsageError(f"quantize={quantize} is not for {article(record.kind)}: leave it out")
    if not ema and record.run is None:
        raise UsageError(
            f"ema=false needs a run's folder, with its checkpoints; {record.path} holds only the model"
        )
    if record.is_foreign:
        return record.task.load_foreign(record, adapter, device=place, **common)
    if adapter is not None:
        raise UsageError(
            f"adapter={adapter} needs a Hugging Face folder, the one it was trained on, and {record.path} is not one: "
            f"write one with luoxia export {record.path} out=FOLDER"
        )
    # a network is built with weights that are then replaced
    with usable(record.folder), torch.random.fork_rng(devices=[]):
        record.check()
        weights = record.weights("" if ema else record.task.stages(record.recipe)[-1].network)
        if not ema and record.task.parts:  # which no checkpoint of the network holds
            prefixes = tuple(f"{part}." for part in record.task.parts)
            weights |= {key: value for key, value in record.weights().items() if key.startswith(prefixes)}
        with no_larger_than(weights):
            return record.task.load(record, weights, details=record.details, device=place, **common)


def precision_of(dtype: str | torch.dtype | None, quantize: str | None) -> dict[str, Any]:
    """What a model is built with: ``dtype`` and ``quantize`` where they are given."""
    chosen = DTYPES.get(str(dtype).removeprefix("torch."))
    if dtype is not None and chosen is None:
        raise UsageError(f"dtype={dtype}: must be float32 or bfloat16")
    if quantize not in (None, "int8"):
        raise UsageError(f"quantize={quantize}: must be int8")
    return {key: value for key, value in (("dtype", chosen), ("quantize", quantize)) if value is not None}


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Say in a sentence that a model folder is damaged: its files cannot be read, or do not fit each other.

    Memory that ran out and bugs of our own keep their own messages.
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
