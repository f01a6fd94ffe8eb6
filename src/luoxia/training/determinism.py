"""Deterministic kernels, while something is trained: two equal runs on one GPU then give equal weights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from luoxia.core.errors import LuoxiaError
from luoxia.training.recipe import Recipe

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def wants_determinism(recipe: Recipe, device: torch.device) -> bool:
    """Whether a training uses deterministic kernels only. On a CPU all are, and nothing needs to be asked for.

    On a GPU, convolutions and the backward pass of attention choose kernels that add in any order unless they are asked
    not to. Attention by torch's flash kernel is deterministic only where that is strict: ``on``, not ``auto``.
    """
    if device.type == "cpu":
        return True
    if recipe.deterministic != "auto":
        return recipe.deterministic == "on"
    return type(recipe).deterministic_on_gpu


@contextlib.contextmanager
def deterministic(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Have torch use deterministic kernels in here, if the recipe wants them on this device.

    ``deterministic=on`` is strict: an operation that has no such kernel is a ``LuoxiaError``. With ``auto`` torch
    warns of it and continues.
    """
    if device.type == "cpu" or not wants_determinism(recipe, device):
        yield
        return
    fill, cudnn = torch.utils.deterministic, torch.backends.cudnn
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        fill.fill_uninitialized_memory,  # type: ignore[attr-defined]
        cudnn.deterministic,
        cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=recipe.deterministic == "auto")
    fill.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as error:
        operation, found, _ = str(error).partition(" does not have a deterministic implementation")
        if not found:
            raise
        raise LuoxiaError(
            f"deterministic=on: {operation} has no deterministic form on this device; use deterministic=auto or off"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        fill.fill_uninitialized_memory = before[2]  # type: ignore[attr-defined]
        cudnn.deterministic, cudnn.benchmark = before[3:5]
        if before[5] is None:
            os.environ.pop(WORKSPACE, None)
