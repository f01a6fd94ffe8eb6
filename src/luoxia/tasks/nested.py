"""Another task's stage as a stage of this run, and another run's model in the place of what it would leave.

So a prior trains its codec first, in the same run and budget, or takes one that is trained; either way the next stage
finds a model folder of that task.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import new_version, write_file
from luoxia.core.tensors import store
from luoxia.runs.run import Run
from luoxia.tasks.base import Task, article
from luoxia.tasks.loading import load_model, usable
from luoxia.tasks.record import ModelRecord
from luoxia.training.distributed import World
from luoxia.training.recipe import Recipe
from luoxia.training.stage import Context, Stage


def nested_stage(task: Task, inner: Callable[[Any], Recipe], recipe: Any, share: float) -> type[Stage]:
    """The first stage of ``task`` as a stage of a run of ``recipe``, with that ``share`` of its budget.

    ``inner`` makes the task's own recipe of this run's. What the stage leaves is a model folder of that task.
    """
    kind: Any = task.stages(inner(recipe))[0]

    class Nested(kind):  # type: ignore[misc]
        """A stage that knows its own task's recipe alone."""

        def __init__(self, context: Context) -> None:
            context.recipe = inner(context.recipe)
            super().__init__(context)

        def describe_model(self) -> dict[str, Any]:
            """Its own task and recipe, in the place of the run's."""
            return {
                "task": task.name,
                "kind": task.kind,
                "inputs": list(task.inputs),
                "output": task.output,
                **task.recipe_record(self.recipe),
                "config": self.recipe.model_dump(mode="json"),
                **task.network_record(self.exported()),
                **super().describe_model(),
            }

    Nested.share = share
    return Nested


def place_of(run: Run, name: str) -> Path:
    """Where a stage called ``name`` leaves its model."""
    return run.path / "stages" / name / "left"


def adopt(
    run: Run, name: str, read: Callable[[], tuple[Mapping[str, Any], dict[str, Tensor]]], world: World
) -> Path:
    """Keep a trained model in the run, where a stage called ``name`` would leave it; return that folder.

    ``read`` gives its config and weights. It is called once: a run that has the model needs the other one no more.
    """
    folder = place_of(run, name)

    def keep() -> None:
        config, weights = read()
        with new_version(folder, ("model.safetensors", "config.json")) as new:
            store({key: value.contiguous() for key, value in weights.items()}, new / "model.safetensors")
            write_file(new / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    world.run_collectively(lambda: keep() if world.main and not folder.is_dir() else None)
    return folder


def open_left(folder: Path, device: Any) -> Any:
    """The model in a folder that a stage left, or that was adopted."""
    return load_model(ModelRecord.open(folder), device=device)


def part_of(record: ModelRecord, task: Task, name: str) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """(Config, weights) of the model of ``task`` that a record is, or holds as its part called ``name``.

    Raises:
        UsageError: it is another model.
    """
    with usable(record.folder):
        if record.task.name == task.name:
            return record.config, record.weights()
        if name not in record.config:
            raise UsageError(f"{record.path} contains {article(record.kind)}, expected {article(task.kind)}")
        return record.config[name], prefixed(record.weights(), name)


def prefixed(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The weights of the part called ``name``, under its own names."""
    return {
        key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")
    }


def open_part(
    record: ModelRecord, task: Task, name: str, weights: Mapping[str, Tensor], **common: Any
) -> Any:
    """The model of ``task`` that the model folder of ``record`` holds as its part called ``name``.

    Raises:
        LuoxiaError, ValueError: config.json is damaged.
    """
    config = record.config.get(name)
    if not isinstance(config, dict):
        raise LuoxiaError(f"{record.folder} is damaged: its config.json has no {name}")
    own = ModelRecord(record.path, record.folder, config)
    own.check()
    if own.task.name != task.name:
        raise LuoxiaError(f"{record.folder} is damaged: its {name} is {article(own.kind)}")
    return task.load(own, prefixed(weights, name), details=own.details, **common)
