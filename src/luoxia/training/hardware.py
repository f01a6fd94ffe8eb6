"""The hardware: devices, number formats, seeds of a device, memory."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from luoxia.core.devices import not_here, wrong_name
from luoxia.nn.torch_private import has_bfloat16_units


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU; a device that is not there is a ``UsageError``."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise wrong_name(name) from error
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device.type not in there:
        raise wrong_name(name)
    if not there[device.type] or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise not_here(name)
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 natively; elsewhere it is emulated and slow."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        return has_bfloat16_units()
    return False


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto``, ``fp32`` or ``bf16`` → the dtype of matrix products and convolutions."""
    if name == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision, or nothing at float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def capability(device: torch.device) -> str:
    """What its kernels are chosen by: ``AVX512`` of a CPU, ``9.0`` of a GPU; "" where nothing is known."""
    if device.type == "cuda":
        return ".".join(map(str, torch.cuda.get_device_capability(device)))
    return str(torch.backends.cpu.get_cpu_capability()) if device.type == "cpu" else ""


def versions() -> dict[str, str]:
    """Of what computes."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What keeps two trainings from being equal to the bit, as in "2 threads, was 4"; "" where nothing does.

    Both are what run.json has of hardware and versions; what one of them lacks is taken for equal.
    """
    words = {
        "device": "device {}",
        "processes": "{} processes",
        "torch": "torch {}",
        "precision": "precision {}",
    }
    words["compiled"] = "compiled: {}"
    if now["device"] == before.get("device"):
        on_cpu = {"threads": "{} threads", "capability": "CPU instructions {}"}
        words |= on_cpu if now["device"] == "cpu" else {"name": "{}"}
    unlike = [key for key in words if key in before and before[key] != now[key]]
    changes = [f"{words[key].format(_plain(now[key]))}, was {_plain(before[key])}" for key in unlike]
    return re.sub(r"\b1 (thread|process)e?s\b", r"1 \1", "; ".join(changes))


def _plain(value: Any) -> Any:
    return ("no", "yes")[value] if isinstance(value, bool) else value


def device_name(device: torch.device) -> str:
    """What a person calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    import platform

    return platform.processor() or platform.machine()


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the generator that dropout draws from on this device: ``torch.manual_seed`` for one device, without its cost
    (a stack trace for each call, to be queued for a GPU that may never be used)."""
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of giving it back: a step on the CPU asks for the same megabytes again, and
    the kernel would have to map and clear them each time. Does nothing on other systems."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        trim_threshold, mmap_threshold = -1, -3  # malloc.h
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 2**30)


def memory_use(device: torch.device) -> dict[str, int | None]:
    """``peak_memory`` as ``memory_bytes``; of a GPU also ``memory_reserved_bytes``, what PyTorch took for that."""
    use = {"memory_bytes": peak_memory(device)}
    if device.type == "cuda":
        use["memory_reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return use


def peak_memory(device: torch.device) -> int | None:
    """The most bytes in use so far: of the GPU, else of this process; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
