"""The media and the tasks: a new one is a folder and a line here. Nothing heavy is imported before it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luoxia.media.base import Medium
    from luoxia.tasks.base import Task
    from luoxia.training.recipe import Recipe

MEDIA = {
    "audio": "luoxia.media.audio.medium:MEDIUM",
    "text": "luoxia.media.text.medium:MEDIUM",
    "image": "luoxia.media.image.medium:MEDIUM",
}
"""In the order in which they are asked whether they read a path; images take what no other does."""
TASKS = {
    "image generation": "luoxia.tasks.image_generation.task:TASK",
    "image synthesis": "luoxia.tasks.image_synthesis.task:TASK",
    "image translation": "luoxia.tasks.image_translation.task:TASK",
    "image codec": "luoxia.tasks.image_codec.task:TASK",
    "language modeling": "luoxia.tasks.language_modeling.task:TASK",
    "text translation": "luoxia.tasks.text_translation.task:TASK",
    "text classification": "luoxia.tasks.text_classification.task:TASK",
    "text embedding": "luoxia.tasks.text_embedding.task:TASK",
}


def task(name: str) -> Task:
    """The task of that name."""
    found: Task = _loaded(TASKS[name])
    return found


def tasks() -> Iterator[Task]:
    """All tasks that come with Luoxia, in order."""
    return map(task, TASKS)


def task_of(recipe: Recipe | type[Recipe]) -> Task:
    """What a recipe trains: what it names itself, or the task of its family.

    Raises:
        UsageError: it is of no task's family.
    """
    kind = recipe if isinstance(recipe, type) else type(recipe)
    if kind.task is not None:
        named: Task = kind.task
        return named
    for known in tasks():
        if issubclass(kind, known.family):
            return known
    from luoxia.core.errors import UsageError

    families = " or ".join(known.family.__name__ for known in tasks())
    raise UsageError(f"the recipe {kind.__name__} must name its task, or be a subclass of {families}")


OLD_TASKS = {
    "translation": "text translation",
    "classification": "text classification",
    "similarity": "text embedding",
    "image translation": "image translation",
}
"""What run.json said of its data before it named a task."""


def task_of_run(manifest: Mapping[str, Any]) -> Task | None:
    """The task of a run, from its run.json; None where its recipe file is not in use, or run.json does not name it."""
    data = manifest.get("data")
    data = data if isinstance(data, dict) else {}
    name = manifest.get("task") or OLD_TASKS.get(str(data.get("task") or ""))
    if "task" not in manifest and not name:
        name = (
            "language modeling" if "vocabulary" in data else "image generation" if "height" in data else None
        )
    if not isinstance(name, str):
        return None
    return task(name) if name in TASKS else _in_use().get(name)


def medium(name: str, of: Task | None = None) -> Medium:
    """The medium of that name, one's own of a task before all others."""
    if of is not None and name in of.media:
        return of.media[name]
    found: Medium = _loaded(MEDIA[name])
    return found


def media() -> Iterator[Medium]:
    """All media, in the order in which they are asked: those of recipe files in use, then those of Luoxia."""
    for own in _in_use().values():
        yield from own.media.values()
    yield from map(medium, MEDIA)


def _in_use() -> dict[str, Task]:
    """The tasks of recipe files in use, by name."""
    kinds = _loaded("luoxia.training.own:in_use")()
    return {kind.task.name: kind.task for kind in kinds if kind.task is not None}


@cache
def _loaded(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
