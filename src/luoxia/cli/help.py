"""What ``--help`` lists of keys: those that people change, or all under headings, and a recipe's presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luoxia.cli import printing
from luoxia.cli.printing import say
from luoxia.core.errors import LuoxiaError

if TYPE_CHECKING:
    from luoxia.cli.table import Verb
    from luoxia.training.recipe import Recipe

HEADINGS = (
    "common",
    "data",
    "model",
    "objective",
    "augmentation",
    "from a trained model",
    "optimizer",
    "schedule",
    "ema",
)
"""The order in which all keys are listed; other headings follow."""


def print_verb(verb: Verb, words: Sequence[str], *, every: bool) -> None:
    """The keys of a verb: of the recipe, or of the model, that the ``words`` name where they name one."""
    command = " ".join(["luoxia", verb.name, *words[:1], "--help", "--all"])
    if verb.name == "train":
        print_training(words, command, every=every)
        return
    if verb.name in ("finetune", "resume"):
        print_trained(verb, words, command, every=every)
        return
    classes = _key_classes(verb, words)
    for settings in classes:
        if len(classes) > 1:
            say(f"\n{settings.__doc__}")
        print_keys(settings, every=every)
    if not every and any(len(_main(settings)) < len(key_rows(settings)) for settings in classes):
        say(f"All keys: {command}")


def print_training(words: Sequence[str], command: str, *, every: bool) -> None:
    """The keys of the recipe that the first word names, or those that all recipes have."""
    from luoxia.tasks.menu import find
    from luoxia.training.recipe import Recipe

    recipe: type[Recipe] = Recipe
    if words:
        try:
            recipe = find(words[0])
            say(f"{recipe.name}: {recipe.title} ({recipe.source})")
        except LuoxiaError as error:
            say(error)
    print_keys(recipe, every=every)
    if not every:
        say(f"All keys: {command}")
    if recipe is Recipe:
        say("The recipes: luoxia recipes")
    elif recipe.presets:
        say(f"Its presets: luoxia recipes {words[0]}")


def print_trained(verb: Verb, words: Sequence[str], command: str, *, every: bool) -> None:
    """The keys that the recipe of the model that the first word names takes, or those that all recipes have."""
    from luoxia.training.recipe import Recipe
    from luoxia.verbs.request import RESUMABLE

    recipe: type[Recipe] = Recipe
    if words:
        try:
            recipe = _recipe_of(verb, Path(words[0]))
        except LuoxiaError as error:
            say(error)
    if verb.name == "resume":
        rows = key_rows(recipe)
        printing.print_table(("key", "default", "meaning"), [rows[key] for key in RESUMABLE if key in rows])
        return
    print_keys(recipe, every=every)
    if not every:
        say(f"All keys: {command}")


def _recipe_of(verb: Verb, path: Path) -> type[Recipe]:
    """What a run continues with, or what a model is trained further by."""
    from luoxia.runs.run import Run
    from luoxia.tasks.menu import find, recorded
    from luoxia.tasks.record import ModelRecord

    if verb.name == "resume":
        return recorded(Run.open(path).manifest, path)
    record = ModelRecord.open(path)
    recipe, _ = record.task.finetune(record, {"data": ""})
    return find(recipe) if isinstance(recipe, str) else recipe


def print_recipes(found: Any) -> None:
    """The menu (a dict), or one recipe (a class)."""
    if isinstance(found, dict):
        rows = [(name, recipe.title, recipe.source) for name, recipe in found.items()]
        printing.print_table(("recipe", "description", "source"), rows)
    else:
        print_recipe(found)


def print_recipe(recipe: Any) -> None:
    """What a recipe is, its presets, and all its keys."""
    say(f"{recipe.name}: {recipe.title} ({recipe.source})\n{(recipe.__doc__ or '').strip()}\n")
    if recipe.presets:
        rows = [(name, _as_words(settings) or "the defaults") for name, settings in recipe.presets.items()]
        printing.print_table(("preset", "stands for"), rows)
        say()
    print_keys(recipe, every=True)


def print_keys(settings: Any, *, every: bool) -> None:
    """The keys of a recipe or of a verb, with defaults and meanings."""
    rows = key_rows(settings)
    if not every:
        printing.print_table(("key", "default", "meaning"), [rows[key] for key in _main(settings)])
        return
    listed: list[tuple[str, ...]] = []
    for heading, keys in by_heading(settings, rows).items():
        listed += [("", "", ""), (f"{heading}:", "", "")] if heading else []
        listed += [rows[key] for key in keys]
    printing.print_table(("key", "default", "meaning"), listed)


def key_rows(settings: Any) -> dict[str, tuple[str, str, str]]:
    """Dotted key → (key, default, meaning)."""
    from luoxia.core.sections import flatten, meanings

    defaults = flatten(settings().model_dump(mode="json", by_alias=True))
    meaning = meanings(settings)
    return {key: (key, printing.spelled(value), meaning[key]) for key, value in defaults.items()}


def by_heading(settings: Any, keys: Mapping[str, Any]) -> dict[str, list[str]]:
    """Heading → keys; a section's keys stand under its name, what no class has grouped under ``model``."""
    grouped: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        for heading, names in base.__dict__.get("groups", {}).items():
            grouped |= dict.fromkeys(names, heading)
    if not grouped:
        return {"": list(keys)}
    found: dict[str, list[str]] = {heading: [] for heading in (*HEADINGS, *grouped.values())}
    for key in keys:
        section, dot, _ = key.partition(".")
        found.setdefault(section if dot else grouped.get(key, "model"), []).append(key)
    return {heading: names for heading, names in found.items() if names}


def _as_words(settings: Mapping[str, Any]) -> str:
    from luoxia.core.settings import key_words

    return " ".join(key_words(settings))


def _main(settings: Any) -> list[str]:
    rows = key_rows(settings)
    return [key for key in settings.main_keys if key in rows] or list(rows)


def _key_classes(verb: Verb, words: Sequence[str]) -> list[Any]:
    """The classes whose keys a verb takes: of the task of the model that the first word names, or of every task."""
    if words and verb.words[0].opens:
        from luoxia.tasks.record import ModelRecord

        try:
            record = ModelRecord.open(Path(words[0]))
            return [record.task.capability(verb.name, record).keys]
        except LuoxiaError:
            pass
    return verb.key_classes()
