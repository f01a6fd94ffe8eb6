"""A model folder as it lies on the disk: its config.json, its recipe, its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from luoxia import __version__
from luoxia.errors import LuoxiaError, UsageError
from luoxia.provenance.files import read_object
from luoxia.recipes import Recipe, recorded
from luoxia.runs.display import Display
from luoxia.training.checkpoint import load_latest


@dataclass(frozen=True)
class Stored:
    """What was written when a model was exported."""

    folder: Path
    config: dict[str, Any]
    recipe: Recipe

    @classmethod
    def read(cls, folder: Path) -> Stored:
        """``UsageError`` for the folder of a newer Luoxia; see ``usable`` for all else."""
        config = read_object(folder / "config.json")
        if config["format"] > 1:
            raise UsageError(
                f"{folder} was written by Luoxia {config['luoxia']}, newer than this one; upgrade luoxia"
            )
        recipe = recorded(config, folder, Display().tell)
        return cls(folder, config, recipe.from_settings(config["config"]))

    @property
    def details(self) -> dict[str, Any]:
        """Where a sample of it comes from."""
        return {
            "recipe": type(self.recipe).name
            or type(self.recipe).__name__,  # the path of a file stays private
            **{key: self.config[key] for key in ("run", "step", "data")},
            "generator": f"Luoxia {__version__}",
        }

    def weights(self, checkpoints: Path | None = None, network: str = "") -> dict[str, torch.Tensor]:
        """Those of the folder, or of a network in the last of ``checkpoints``."""
        if checkpoints is None:
            file = self.folder / "model.safetensors"
            if not file.is_file():  # a pipe would never end
                raise FileNotFoundError(f"{file} is not there")
            return load_file(file)
        return load_latest(checkpoints).tensors[network]


@contextlib.contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Say in a sentence that a model folder is damaged."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        told = " ".join(str(error).split())
        raise LuoxiaError(f"{folder} holds no usable model: {told[:300]}") from None
