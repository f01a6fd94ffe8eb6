"""The recipes of all tasks, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luoxia import registry
from luoxia.core.errors import UsageError
from luoxia.core.old_names import warn_of_old_name
from luoxia.core.sections import merge
from luoxia.core.sentences import nearest, shown
from luoxia.training import own
from luoxia.training.recipe import Recipe

RECIPES: dict[str, type[Recipe]] = {
    recipe.name: recipe for task in registry.tasks() for recipe in task.recipes
}


def find(name: str) -> type[Recipe]:
    """The recipe that a person names: of the menu, of a file in use, or the class in a file: ``mine.py:MyRecipe``."""
    found = RECIPES.get(name) or own.named(name)
    if found is None:
        raise UsageError(
            f"unknown recipe '{name}'{nearest(name, RECIPES) or '; known are ' + ', '.join(RECIPES)}"
        )
    return found


def recorded(
    manifest: Mapping[str, Any], where: Path, warn: Callable[[str], None] = lambda sentence: None
) -> type[Recipe]:
    """The recipe that run.json or config.json at ``where`` speaks of; see ``own.recorded``: nothing is imported."""
    return own.recorded(manifest, where, RECIPES, warn)


def configure(recipe: str | Recipe | type[Recipe], settings: Mapping[str, Any]) -> Any:
    """The recipe with these settings; ``UsageError`` for a wrong one, or one that could not be opened again."""
    if not isinstance(recipe, str | Recipe | type):
        raise UsageError(f"a recipe is a name such as dcgan, or a Recipe, not {shown(recipe)}")
    base = {}
    if isinstance(recipe, Recipe):
        chosen, base = type(recipe), recipe.model_dump(exclude_unset=True)
    else:
        chosen = recipe if isinstance(recipe, type) else find(recipe)
    own.check_at_rest()
    own.check_kept(chosen)
    given = merge(base, chosen.current(settings, warn_of_old_name))
    chosen.refuse(given)
    config = chosen.from_settings(given)
    registry.task_of(config)
    return config


def menu(name: str | None = None) -> dict[str, type[Recipe]] | type[Recipe]:
    """All recipes by name, or the one of that name."""
    return RECIPES if name is None else find(name)
