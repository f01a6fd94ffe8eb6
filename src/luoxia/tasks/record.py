"""A trained model as it lies on the disk. Its config.json is read once; torch is imported with its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luoxia import registry
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import in_force, read_object
from luoxia.core.names import readable
from luoxia.provenance.label import Label
from luoxia.runs.records import problem
from luoxia.runs.run import FORMAT, Run
from luoxia.tasks.menu import RECIPES, recorded
from luoxia.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from luoxia.tasks.base import Task

LARGEST = 2**31
"""No size of a network is above."""
FOREIGN = {"bert": "text encoder"}
"""What another toolkit's model is, by its ``model_type``; a language model if not listed."""


@dataclass(frozen=True)
class ModelRecord:
    """The model of a run, a model folder, or another toolkit's folder.

    ``path`` is what the person named, ``folder`` the model folder in force, ``config`` what its config.json holds,
    ``run`` the run that it is in, if it is in one.
    """

    path: Path
    folder: Path
    config: Mapping[str, Any]
    run: Run | None = None

    @classmethod
    def open(cls, path: str | Path) -> ModelRecord:
        """Read what lies at ``path``.

        Raises:
            UsageError: neither a run nor a model lies there, or a newer Luoxia wrote it.
        """
        path = Path(path)
        is_run = (path / "run.json").exists()
        folder = in_force(path / "model" if is_run else path)
        if not (folder / "config.json").exists():
            _say_what_is_missing(path)
        run = Run.open(path) if is_run else None
        try:
            config = read_object(folder / "config.json")
        except (OSError, ValueError) as error:
            raise LuoxiaError(f"{folder} holds no usable model: {error}") from error
        if isinstance(config.get("format"), int) and config["format"] > FORMAT:
            told = readable(config.get("luoxia"))
            raise UsageError(f"{folder} was written by Luoxia {told}, newer than this one; upgrade luoxia")
        return cls(path, folder, config, run)

    @property
    def is_foreign(self) -> bool:
        """Whether another toolkit wrote it: its config.json speaks of architectures, and of no recipe."""
        return "recipe" not in self.config and not {"model_type", "architectures"}.isdisjoint(self.config)

    @property
    def kind(self) -> str:
        """What the model is: "image generator"."""
        if self.is_foreign:
            return FOREIGN.get(str(self.config.get("model_type")), "language model")
        return str(self.config.get("kind", ""))

    @cached_property
    def task(self) -> Task:
        """What it was trained for: known by name, by its kind in folders of before, or by a recipe of one's own."""
        name = self.config.get("task")
        if isinstance(name, str) and name in registry.TASKS:
            named = registry.task(name)
            kind = RECIPES.get(str(self.config.get("recipe")))
            if kind is not None and not issubclass(kind, named.family):
                raise LuoxiaError(f"{self.folder} is damaged: {kind.name} is not a recipe of {name}")
            return named
        kinds = {known.kind: known for known in registry.tasks()}
        if self.kind in kinds and "task" not in self.config:
            return kinds[self.kind]
        if self.is_foreign:
            return registry.task("language modeling")
        return registry.task_of(self.recipe_kind())

    def recipe_kind(self, warn: Callable[[str], None] = lambda sentence: None) -> type[Recipe]:
        """The class of the recipe that it was trained by; no code is imported for it."""
        return recorded(self.config, self.folder, warn)

    def check(self) -> None:
        """``ValueError`` where config.json is damaged."""
        if wrong := problem("config.json", self.config):
            raise ValueError(f"config.json is damaged: {wrong}")

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that it was trained by, with its settings.

        Raises:
            ValueError: config.json is damaged.
        """
        self.check()
        from luoxia.runs.display import Display

        recipe: Recipe = self.recipe_kind(Display().tell).from_settings(self.config["config"])
        for name in type(recipe).model_fields.keys() - Recipe.model_fields.keys():
            if isinstance(size := getattr(recipe, name), int) and abs(size) > LARGEST:
                raise ValueError(f"config.json is damaged: {name} is {readable(size)}")
        return recipe

    @property
    def details(self) -> Label:
        """Where a sample of it comes from; the path of a file of recipes stays private."""
        name = self.config["recipe"].rpartition(":")[2]  # Luoxia 0.1.0 wrote PATH/FILE.py:CLASS
        return Label(recipe=name, **{key: self.config[key] for key in ("run", "step", "data")})

    def weights(self, network: str = "") -> dict[str, torch.Tensor]:
        """Those of the model folder, or of a ``network`` in the run's last checkpoint.

        Raises:
            OSError, ValueError: they cannot be read.
        """
        from safetensors.torch import load_file

        if not network:
            file = self.folder / "model.safetensors"
            if not file.is_file():  # a pipe would never end
                raise FileNotFoundError(f"{file} is not there")
            return load_file(file)
        from luoxia.training.checkpoint import load_latest

        assert self.run is not None
        tensors = load_latest(self.run.checkpoints, networks_only=True).tensors
        if network not in tensors:
            raise ValueError(f"the last checkpoint has no {network}")
        return tensors[network]


def trained_config(run: Run) -> Any:
    """The recipe of a run, as it was trained."""
    kind = recorded(run.manifest, run.path)
    return kind.from_settings(run.manifest["config"])


def _say_what_is_missing(path: Path) -> None:
    """Raise ``UsageError`` with what lies there instead of a model."""
    if not path.exists():
        raise UsageError(f"{path} is not there: give the folder of a run or of a model")
    if (path / "adapter_config.json").exists():
        raise UsageError(
            f"{path} holds adapters and no model: give the folder that they were trained on, and adapter={path}"
        )
    if not (path / "run.json").exists():
        raise UsageError(f"{path} is neither a run nor a model: it has no run.json and no config.json")
    Run.open(path)
    raise UsageError(f"{path} has no model yet: its training ended before its first checkpoint")
