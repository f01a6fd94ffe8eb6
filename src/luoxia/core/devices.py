"""Devices by name, as far as they can be judged without torch."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import re
import runpy
import sys
from pathlib import Path

from luoxia.core.errors import UsageError

NAME = re.compile(r"auto|(cpu|cuda|mps)(:\d+)?")


def require_device(name: object) -> None:
    """``UsageError`` for a device that has no such name, or that is surely not on this machine."""
    if not isinstance(name, str):
        return
    if NAME.fullmatch(name) is None:
        raise wrong_name(name)
    if (name.startswith("cuda") and not _may_have_cuda()) or (
        name.startswith("mps") and sys.platform != "darwin"
    ):
        raise not_here(name)


def wrong_name(name: str) -> UsageError:
    """The error for a device that has no such name."""
    return UsageError(f"device={name}: must be auto, cpu, cuda, cuda:1 or mps")


def not_here(name: str) -> UsageError:
    """The error for a device that this machine lacks."""
    return UsageError(f"device={name} is not on this machine; use device=auto")


def _may_have_cuda() -> bool:
    """False where torch was built for CPUs only, or where the driver is missing that it would load."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return True
    with contextlib.suppress(OSError):
        built = runpy.run_path(str(Path(found.origin).with_name("version.py")))
        if built.get("hip") is not None or "cuda" not in built:
            return True
        if built["cuda"] is None:
            return False
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            return False
    return True
