"""What a folder is, a run or a model, by its small files alone: told before anything heavy is imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from luoxia.errors import UsageError
from luoxia.provenance.files import in_force
from luoxia.runs.run import Run


def described(path: str | Path) -> dict[str, Any]:
    """What config.json says; {} where there is none to read."""
    try:
        told = json.loads((model_folder(path) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def model_folder(path: str | Path) -> Path:
    """The folder ``model`` of a run; any other folder itself."""
    path = Path(path)
    return in_force(path / "model" if (path / "run.json").exists() else path)


def is_foreign(path: str | Path) -> bool:
    """Whether the folder is another toolkit's: its config.json speaks of architectures, not of a recipe."""
    told = described(path)
    return "recipe" not in told and not {"model_type", "architectures"}.isdisjoint(told)


def require_run(path: Path) -> None:
    """Say what is wrong where neither a run nor another toolkit's model lies."""
    if not is_foreign(path):
        Run.open(path)


def require_model(path: Path) -> None:
    """Say what is wrong where no model lies."""
    if (model_folder(path) / "config.json").exists():
        return
    if not path.exists():
        raise UsageError(f"{path} is not there: give the folder of a run or of a model")
    if (path / "adapter_config.json").exists():
        raise UsageError(
            f"{path} holds adapters and no model: give the folder that they were trained on, and adapter={path}"
        )
    if not (path / "run.json").exists():
        raise UsageError(f"{path} is neither a run nor a model: it has no run.json and no config.json")
    Run.open(path)
