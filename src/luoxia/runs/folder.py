"""What a folder is, a run or a model, by its small files alone: told before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.core.errors import UsageError
from luoxia.core.files import in_force, read_object
from luoxia.runs.run import Run

LANGUAGE_MODEL = "language model"
"""What ``kind_of`` calls a model that writes text."""
IMAGE_GENERATOR = "image generator"
IMAGE_TRANSLATOR = "image translator"
ENCODER = "text encoder"
"""What ``kind_of`` calls another toolkit's BERT."""


def described(path: str | Path) -> dict[str, Any]:
    """What config.json says; {} where there is none to read."""
    try:
        return read_object(model_folder(path) / "config.json")
    except (OSError, ValueError):
        return {}


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


def kind_of(path: str | Path) -> str:
    """What the model of a run or of a model folder is: "image generator", "language model"."""
    if is_foreign(path):
        return LANGUAGE_MODEL if described(path).get("model_type") != "bert" else ENCODER
    return str(described(path).get("kind", ""))


def other_verb(path: str | Path) -> str:
    """The sentence that says with which verb the model of a run is asked; "" where that is ``sample``."""
    verbs = {"translator": "translate", "text classifier": "classify", "text embedder": "embed"}
    kind = kind_of(path)
    if kind == ENCODER:
        return f"{path} is an encoder, which writes nothing: ask it in Python, luoxia.load(…).hidden(ids)"
    if kind == "image translator":
        return (
            f"{path} is a translator of images: ask it with luoxia translate {path} IMAGE_OR_FOLDER out=PATH"
        )
    if kind not in verbs:
        return ""
    more = " out=FILE.npy" if kind == "text embedder" else ""
    return f'{path} is a {kind}: ask it with luoxia {verbs[kind]} {path} "a text"{more}'


def condition_of(path: str | Path) -> tuple[str, ...]:
    """The fields that the texts of a run or of a model folder are learned by; () without."""
    config = described(path).get("config")
    told = config.get("condition") if isinstance(config, dict) else None
    return tuple(map(str, told)) if isinstance(told, list) else ()
