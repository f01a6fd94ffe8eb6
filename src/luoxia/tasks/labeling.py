"""The label of what a verb is about to write: where the model comes from, and which weights it has."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from luoxia.provenance.label import Label, Parent
from luoxia.tasks.record import ModelRecord
from luoxia.training.checkpoint_files import latest_named, sha256_of


def label_of(model: Any, record: ModelRecord, *, ema: bool = True) -> Label:
    """The label of files that the ``model`` of ``record`` makes."""
    details: Label = model.details
    return replace(details, model=weights_digest(record, ema=ema))


def weights_digest(record: ModelRecord, *, ema: bool = True) -> str:
    """SHA-256 of ``model.safetensors``; "" where there is none.

    Of weights in several files, that of their digests, one per line. With ``ema=False``, that of the manifest of the
    run's newest checkpoint, which lists its files.
    """
    if not ema and record.run is not None:
        checkpoints = record.run.checkpoints
        return _digest(checkpoints / latest_named(checkpoints) / "manifest.json")
    digests = [_digest(file) for file in sorted(record.folder.glob("model*.safetensors"))]
    if len(digests) > 1:
        return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()
    return "".join(digests)


def parent(path: str | Path | None) -> tuple[Parent, ...]:
    """A file that something is made from, as its label names it; () for None."""
    return () if path is None else (Parent(Path(path).name, _digest(Path(path))),)


def _digest(path: Path) -> str:
    """SHA-256 of a file; "" where it cannot be read a second time: nothing is lost for want of a label."""
    try:
        return sha256_of(path)
    except OSError:
        return ""
