"""Checkpoints: a folder a step, whole or not there at all.

``step_000500/`` holds a safetensors file for each network, average and optimizer, ``state.json`` for scalars, and
``manifest.json`` with the SHA-256 of each. It is written beside, flushed to disk, renamed, and only then named in
``LATEST``; so a process killed at any moment leaves the previous checkpoint in force. A checkpoint that is
written again (the same step after a roll-back or a signal) stands aside under a private name until its successor is in
place.

Tensors that never change, those under adapters or in frozen layers, lie once beside all steps in ``FROZEN``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import flush, read_object, set_aside, settle, write_file
from luoxia.core.regular import text_of
from luoxia.training.checkpoint_files import FROZEN, latest_named, read_whole, sha256_of

Tensors = dict[str, dict[str, Tensor]]
"""File → name → tensor."""
_NAME = re.compile(r"\.?step_([0-9]+)(?:(?:\.[0-9a-f]{16})?\.old)?")


@dataclass
class Checkpoint:
    """What was read back; ``damaged`` says why newer checkpoints were not, a sentence each."""

    step: int
    tensors: Tensors
    state: dict[str, Any]
    damaged: tuple[str, ...] = ()


def save(
    folder: Path,
    step: int,
    tensors: Tensors,
    state: dict[str, Any],
    keep: int = 2,
    spared: Collection[int] = (),
    frozen: Tensors | None = None,
) -> Path:
    """Write checkpoint ``step`` under ``folder``; the earlier ones survive any failure.

    The newest ``keep`` stay, and those of the steps ``spared``. ``frozen`` belongs to every step, and is written with
    the first only.
    """
    target = folder / f"step_{step:06d}"
    temporary = folder / f".writing_{target.name}_{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        temporary.mkdir()
        if frozen:
            state = {**state, "frozen": _write_frozen(folder / FROZEN, frozen)}
        for name, group in tensors.items():
            save_file(_plain(group), _file(temporary, name))
        (temporary / "state.json").write_text(json.dumps({"step": step, **state}, indent=2))
        files = sorted(temporary.iterdir())
        (temporary / "manifest.json").write_text(json.dumps({f.name: sha256_of(f) for f in files}, indent=2))
        for file in [*files, temporary / "manifest.json", temporary]:
            flush(file)
        set_aside(target)  # where the same step is there, after a roll-back or a signal
        temporary.rename(target)
        flush(folder)
        write_file(folder / "LATEST", target.name + "\n")
        flush(folder)
        sweep(folder)
        for old in _surplus(folder, target, keep):
            if _step(old) not in spared:
                shutil.rmtree(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = (
            getattr(error, "strerror", None) or str(error).rpartition("I/O error: ")[2].partition(" (os")[0]
        )
        raise LuoxiaError(f"cannot write checkpoint {target}: {reason}") from error
    return target


def _plain(group: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().cpu().contiguous() for key, value in group.items()}


def _write_frozen(path: Path, frozen: Tensors) -> str:
    """Write what is frozen, unless it is there; returns its SHA-256."""
    digest = path.with_suffix(".sha256")  # follows the file: where it lies, the file is whole
    if not digest.is_file():
        flat = {f"{name}/{key}": value for name, group in frozen.items() for key, value in group.items()}
        beside = path.with_name(f".writing_{path.name}_{os.getpid()}")
        save_file(_plain(flat), beside)
        flush(beside)
        beside.rename(path)
        write_file(digest, sha256_of(path) + "\n")
    return text_of(digest).strip()


def _add_frozen(path: Path, digest: str | None, tensors: Tensors) -> None:
    """Put what is frozen beside the tensors of a step, averages too; ``ValueError`` when it is not what it was."""
    if digest is None:
        return
    if sha256_of(path) != digest:
        raise ValueError(f"{path.name} is damaged")
    for name, value in load_file(path).items():
        network, _, key = name.partition("/")
        for file in (network, f"ema_{network}"):
            if file in tensors:
                tensors[file][key] = value


def load_latest(folder: Path, *, networks_only: bool = False) -> Checkpoint:
    """The newest whole checkpoint: the one LATEST names, or an earlier one if that is damaged.

    ``networks_only``: without what optimizers keep, which need not be there.
    """
    candidates = _newest_first(folder)
    named = latest_named(folder)
    if named:
        candidates.sort(key=lambda path: path.name != named)
    problems: list[str] = []
    for candidate in candidates:
        try:
            found = load(candidate, networks_only=networks_only)
            return replace(found, damaged=tuple(problems))
        except (OSError, ValueError, SafetensorError) as error:
            problems.append(f"{candidate.name}: {error}")
    raise LuoxiaError(f"no usable checkpoint in {folder}" + (f" ({'; '.join(problems)})" if problems else ""))


def load(path: Path, *, networks_only: bool = False) -> Checkpoint:
    """Read one checkpoint and check every file against the manifest; ``ValueError`` when one does not match."""
    manifest, state = read_whole(path, networks_only=networks_only)
    tensors = {
        Path(name).stem.replace("optimiser_", "optimizer_"): load_file(
            path / name
        )  # as it was spelled before 0.2
        for name in manifest
        if name.endswith(".safetensors")
    }
    _add_frozen(path.parent / FROZEN, state.get("frozen"), tensors)
    return Checkpoint(state["step"], tensors, state)


def load_network(folder: Path, steps: Iterable[int], name: str) -> list[dict[str, Tensor]]:
    """The tensors of one network at those ``steps`` that were kept; ``LuoxiaError`` for a damaged file."""
    found = []
    for path in (folder / f"step_{step:06d}" for step in steps):
        if not path.is_dir():
            continue
        try:
            digest = read_object(path / "manifest.json")[_file(path, name).name]
            if sha256_of(_file(path, name)) != digest:
                raise ValueError(f"{_file(path, name).name} is damaged")
            tensors = {name: load_file(_file(path, name))}
            state = read_object(path / "state.json")
            _add_frozen(folder / FROZEN, state.get("frozen"), tensors)
            found.append(tensors[name])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise LuoxiaError(f"cannot average checkpoint {path}: {error}; delete this folder") from error
    return found


def sweep(folder: Path) -> None:
    """Remove what killed writers left behind, and checkpoints whose successor is in place."""
    settle(folder)
    for stale in [*folder.glob(".writing_*"), *folder.glob(".LATEST.*.tmp")]:
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)


def _newest_first(folder: Path) -> list[Path]:
    """Every checkpoint, whole or damaged, also what stands aside, which earlier versions called step_N.old."""
    ours = [path for path in folder.glob("*") if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(ours, key=lambda path: (_step(path), path.suffix == ""), reverse=True)


def _surplus(folder: Path, latest: Path, keep: int) -> list[Path]:
    """All but ``latest`` and the ``keep - 1`` before it; steps after it belong to a course that was given up.

    Never a link, nor ``step_N.old``, which may be a person's own copy.
    """
    others = [p for p in _newest_first(folder) if p != latest and p.suffix == "" and not p.is_symlink()]
    others.sort(key=lambda p: _step(p) > _step(latest))
    return others[keep - 1 :]


def _step(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    assert found is not None
    return int(found[1])


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"
