"""What of a checkpoint can be read without torch: whether its files are whole, and its ``state.json``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from luoxia.core.files import read_object
from luoxia.core.names import readable
from luoxia.core.regular import open_regular, text_of

FROZEN = "frozen.safetensors"
"""What no step changes, as NETWORK/NAME, beside all steps; each ``state.json`` has its SHA-256."""
OPTIMIZERS = ("optimizer_", "optimiser_")
"""How the files begin that optimizers keep; the second before 0.2."""
STATE: dict[str, Any] = {
    "step": int, "seconds": int | float, "rollbacks": int, "lr_scale": int | float, "world_size": int,
    "seen": int, "averaged": int,
}  # fmt: skip
"""What a ``state.json`` has, whatever is trained."""


def read_whole(path: Path, *, networks_only: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """(its manifest, its state) of one checkpoint; ``OSError`` or ``ValueError`` where a file is not what it was.

    ``networks_only``: what optimizers keep is not read, nor listed.
    """
    manifest = read_object(path / "manifest.json")
    if networks_only:
        manifest = {name: digest for name, digest in manifest.items() if not name.startswith(OPTIMIZERS)}
    for name, digest in manifest.items():
        if Path(name).name != name or sha256_of(path / name) != digest:
            raise ValueError(f"{readable(name)} is damaged")
    return manifest, read_state(path)


def read_state(path: Path) -> dict[str, Any]:
    """The state of one checkpoint, its files unread; raises as ``read_whole``."""
    state = read_object(path / "state.json")
    if "step" not in state:
        raise ValueError("state.json has no step")
    for name, kind in STATE.items():
        if not isinstance(state.get(name, 0), kind) or not 0 <= state.get(name, 0) < 2**63:
            raise ValueError(f"state.json is damaged at '{name}'")
    return state


def latest_named(folder: Path) -> str:
    """The name of the checkpoint in force, from ``LATEST``; "" without."""
    latest = folder / "LATEST"
    return text_of(latest, "replace").strip() if latest.is_file() else ""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
