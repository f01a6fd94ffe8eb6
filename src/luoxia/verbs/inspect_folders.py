"""What a run or a model folder is, by its small files, and whether its checkpoints are what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import read_object
from luoxia.core.names import readable
from luoxia.core.regular import open_regular, text_of
from luoxia.runs.run import Run
from luoxia.tasks.labeling import weights_digest
from luoxia.tasks.record import ModelRecord
from luoxia.training.checkpoint_files import FROZEN, latest_named, read_state, sha256_of
from luoxia.verbs.inspection import Inspected

Found = tuple[dict[str, Any], list[Inspected]]
"""Facts, and the files that were looked at."""


def is_run(path: Path) -> bool:
    """Whether a folder claims to be a run."""
    return (path / "run.json").is_file()


def is_model(path: Path) -> bool:
    """Whether a folder claims to be a model, of Luoxia or of another toolkit."""
    try:
        config = read_object(path / "config.json")
    except (OSError, ValueError):
        return False
    return {"kind", "recipe", "config"} <= config.keys() or ModelRecord(path, path, config).is_foreign


def of_run(path: Path) -> Found:
    """A run: its manifest, its model, its checkpoints; ``LuoxiaError`` where run.json is damaged."""
    run = Run.open(path)
    manifest = run.manifest
    facts: dict[str, Any] = {"is": "run", "recipe": manifest["recipe"]}
    try:
        record = ModelRecord.open(path)
    except LuoxiaError as error:  # it has no model yet, or a damaged one
        facts |= {"step": _step(run, {})}
        broken = [Inspected("model/", "unreadable", problem=str(error))] if (path / "model").exists() else []
    else:
        facts |= {"task": record.config.get("task"), "model": record.kind, "step": _step(run, record.config)}
        facts |= {"weights": weights_digest(record)}
        broken = list(_unreadable_weights(record.folder, "model/"))
    facts |= {"data": _data(manifest.get("data"))}
    facts |= {name: manifest.get(name) for name in ("parameters", "luoxia")}
    return _known(facts), [*broken, *_recorded(run)]


def of_model(path: Path) -> Found:
    """A model folder, whose weights have no manifest; ``LuoxiaError`` where it cannot be read."""
    record = ModelRecord.open(path)
    names = ("architectures",) if record.is_foreign else ("recipe", "task", "run", "step", "data", "luoxia")
    facts: dict[str, Any] = {"is": "model folder of another toolkit" if record.is_foreign else "model folder"}
    facts |= {"model": record.kind} | {name: record.config.get(name) for name in names}
    return _known(facts | {"weights": weights_digest(record)}), list(_unreadable_weights(record.folder, ""))


def _unreadable_weights(folder: Path, name: str) -> Iterator[Inspected]:
    """The weights that are missing, or whose header does not fit the file; no manifest says what they were."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        yield Inspected(f"{name}model.safetensors", "unreadable", problem="it is not there")
    for file in files:
        try:
            open_regular(file).close()  # safe_open would wait for a pipe
            with safe_open(file, "np"):
                pass
        except (OSError, SafetensorError) as error:
            yield Inspected(
                f"{name}{file.name}",
                "unreadable",
                problem=getattr(error, "strerror", None) or readable(error),
            )


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", {}, [])}


def _data(record: Any) -> Any:
    """Of the data, what names it."""
    known = record if isinstance(record, dict) else {}
    return {
        name: known[name]
        for name in ("source", "path", "fingerprint", "count")
        if known.get(name) is not None
    }


def _step(run: Run, config: Mapping[str, Any]) -> int | None:
    """That of the checkpoint in force, or of the model."""
    try:
        return int(read_state(run.checkpoints / Path(latest_named(run.checkpoints)).name)["step"])
    except (OSError, ValueError):
        step = config.get("step")
        return step if isinstance(step, int) else None


# ------------------------------------------------------------------ checkpoints


def _recorded(run: Run) -> Iterator[Inspected]:
    """The files whose digests a manifest holds: those of checkpoints, and of what earlier stages left."""
    for folder in [run.checkpoints, *sorted(run.path.glob("stages/*/checkpoints"))]:
        yield from _checkpoints(folder, folder.relative_to(run.path).as_posix())
    for left in sorted(run.path.glob("stages/*/left")):
        yield from _files(left, left.relative_to(run.path).as_posix(), "files")


def _checkpoints(folder: Path, name: str) -> Iterator[Inspected]:
    for step in sorted(folder.glob("step_*")):
        if step.is_dir() and not step.is_symlink():
            yield from _files(step, f"{name}/{step.name}")
    if (folder / FROZEN).is_file():
        digest = (folder / FROZEN).with_suffix(".sha256")
        try:
            recorded = text_of(digest).strip()
        except (OSError, ValueError) as error:
            recorded = f"{digest.name} cannot be read: {getattr(error, 'strerror', None) or 'not a text'}"
        yield _compared(folder / FROZEN, recorded, f"{name}/{FROZEN}")


def _files(folder: Path, name: str, key: str | None = None) -> Iterator[Inspected]:
    """The files of a folder against its manifest, or what that holds under ``key``."""
    try:
        manifest = read_object(folder / "manifest.json")
        manifest = manifest if key is None else dict(manifest[key])
    except (OSError, ValueError, LookupError, TypeError) as error:
        problem = getattr(error, "strerror", None) or readable(error)
        yield Inspected(f"{name}/manifest.json", "invalid", problem=f"cannot be read: {problem}")
        return
    for file, digest in manifest.items():
        if Path(file).name != file:
            yield Inspected(
                f"{name}/manifest.json", "invalid", problem=f"names {readable(file)}, which lies elsewhere"
            )
        else:
            yield _compared(folder / file, digest, f"{name}/{file}")


def _compared(path: Path, digest: Any, name: str) -> Inspected:
    try:
        found = sha256_of(path)
    except OSError as error:
        return Inspected(name, "invalid", problem=f"cannot be read: {error.strerror}")
    if found != digest:
        return Inspected(
            name,
            "invalid",
            problem=f"has the SHA-256 {found[:16]}…, and {readable(digest)[:16]}… is recorded",
        )
    return Inspected(name, "verified")
