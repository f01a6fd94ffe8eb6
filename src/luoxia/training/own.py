"""Recipes of one's own: a file of code that a person names is run, one that a run or a model names never is."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.names import expanded, readable
from luoxia.core.old_names import warn_of_old_name
from luoxia.core.sentences import nearest, shown
from luoxia.training.recipe import Recipe

Kind = type[Recipe]
FILE = re.compile(r"(.+\.py)(?::(.*))?", re.DOTALL)
"""FILE.py or FILE.py:CLASS, as a person writes it, and as in run.json of Luoxia 0.1.0."""
LOADED = "luoxia_recipes_"
"""How the modules begin that are made of such files."""

_used: list[Kind] = []
"""What ``use`` has found, the latest last."""
_digests: dict[Kind, str] = {}
"""SHA-256 of the file of a class, as it was when the class was first met."""
_running: list[str] = []
"""The files that are being run now."""


# ------------------------------------------------------------------ what a person names


def use(file: str | os.PathLike[str]) -> dict[str, Kind]:
    """Run a file of recipes, for the rest of this process: models and runs of them can then be opened.

    ``luoxia.use("mine.py")`` is ``use=mine.py`` of the verbs. Returns the recipes by their classes' names;
    ``UsageError`` where the file is not there, does not run, or holds no recipe.
    """
    name = os.fsdecode(file) if (named := isinstance(file, str | os.PathLike)) else shown(file)
    match = FILE.fullmatch(name) if named else None
    if match is None:
        raise UsageError(f"use={name}: must be a file of Python that holds your recipe, use=FILE.py")
    found = _recipes_in(match[1])
    if not found:
        raise UsageError(f"use={name}: {match[1]} has no recipe, a subclass of one in luoxia.tasks.menu")
    return found


def named(name: str) -> Kind | None:
    """The class in FILE.py:CLASS, or the one of that name in a file in use; None where it is neither."""
    match = FILE.fullmatch(name)
    if match is None:
        return next((kind for kind in reversed(_used) if kind.__name__ == name), None)
    file, wanted = match[1], match[2]
    found = _recipes_in(file)
    if wanted and wanted not in found:
        raise UsageError(f"{file} has no recipe '{wanted}'{nearest(wanted, found)}")
    if not wanted and len(found) != 1:
        raise UsageError(f"{file} has {len(found)} recipes: name one, as in {file}:MyRecipe")
    return found[wanted] if wanted else next(iter(found.values()))


def in_use() -> tuple[Kind, ...]:
    """The recipes of the files that were named, the latest first."""
    return tuple(reversed(_used))


@contextmanager
def alone() -> Iterator[None]:
    """Only what is used in here is known in here: one command knows no file of another."""
    before = _used.copy()
    _used.clear()
    try:
        yield
    finally:
        _used[:] = before


def _recipes_in(file: str) -> dict[str, Kind]:
    path = expanded(file).resolve()
    if not path.is_file():
        raise UsageError(f"recipe file {file} is not there")
    try:
        code = path.read_bytes()
    except OSError as error:
        raise UsageError(f"recipe file {file} cannot be read: {error.strerror}") from error
    running = sys.modules.get("__main__")
    if _file_of(running) == path:  # a script that loads what it trained must not run itself again
        module: ModuleType | None = running
    else:
        module = _run(file, path, code)
    own = [kind for kind in vars(module).values() if _is_own(kind, module)]
    digest = hashlib.sha256(code).hexdigest()
    for kind in own:
        _digests.setdefault(kind, digest)
    _used.extend(own)
    return {kind.__name__: kind for kind in own}


def _run(file: str, path: Path, code: bytes) -> ModuleType:
    """The module made of a file's code; the same again while neither its place nor its content changes."""
    digest = hashlib.sha256(os.fsencode(path) + b"\0" + code).hexdigest()[:16]
    name = f"{LOADED}{digest}_{path.stem}"  # a name of its own: the user's file may be called json.py
    if name in sys.modules:
        return sys.modules[name]
    module = sys.modules[name] = ModuleType(name)  # pydantic resolves annotations through it
    module.__file__ = str(path)
    _running.append(file)
    _lend_old_places(file, code)
    try:
        exec(compile(code, path, "exec"), vars(module))
        for kind in vars(module).values():
            if _is_own(kind, module):
                kind.model_rebuild(force=True)  # errors in its fields come up now
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, LuoxiaError) or not isinstance(error, Exception | SystemExit):
            raise
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"recipe file {file} does not run: {message}") from error
    finally:
        _running.pop()
    return module


OLD_PLACES = ("config", "data", "recipe", "recipes.gan", "recipes.images")
"""Modules, in luoxia, that files of recipes imported from before all of it came to lie in ``luoxia.recipes``."""


def _lend_old_places(file: str, code: bytes) -> None:
    """Let a file find in its old place what ``luoxia.recipes`` holds now."""
    for place in (f"luoxia.{name}" for name in OLD_PLACES):
        if re.search(rf"^from {place} import".encode(), code, re.MULTILINE):
            warn_of_old_name(f"{file} imports from {place}, which is now luoxia.recipes; it works until 1.0")
            sys.modules.setdefault(place, import_module("luoxia.recipes"))


def check_at_rest() -> None:
    """``UsageError`` when a file of recipes, instead of only defining them, would train while it is read."""
    if _running:
        raise UsageError(
            f'{_running[-1]} trains when it is read: put what trains below the line if __name__ == "__main__":'
        )


def _is_own(value: object, module: ModuleType | None) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, Recipe)
        and module is not None
        and value.__module__ == module.__name__
    )


def _file_of(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


# ------------------------------------------------------------------ what a run keeps, and how it is found again


def is_own(kind: Kind) -> bool:
    """Whether a recipe is none that comes with Luoxia."""
    return not kind.__module__.startswith("luoxia.")


def check_kept(kind: Kind) -> None:
    """``UsageError`` for a class of one's own that no file would give again: of a notebook, of standard input."""
    if is_own(kind) and _digest(kind) is None:
        raise UsageError(
            f"the recipe {kind.__name__} is defined in no file, so that its model could not be opened again: put the "
            f'class into a file, at its top level, and train FILE.py:{kind.__name__}, or call luoxia.use("FILE.py")'
        )


def _digest(kind: Kind) -> str | None:
    """SHA-256 of the file that defines a class; None where none does."""
    if kind not in _digests:
        module = sys.modules.get(kind.__module__)
        file = _file_of(module)
        if file is None or getattr(module, kind.__name__, None) is not kind:
            return None
        try:
            code = file.read_bytes()
        except OSError:
            return None
        if re.search(rb"\b%s\b" % kind.__name__.encode(), code) is None:  # typed after python -i FILE.py
            return None
        _digests[kind] = hashlib.sha256(code).hexdigest()
    return _digests[kind]


def record(kind: Kind) -> dict[str, Any]:
    """What run.json and config.json say of a recipe: its name, and the name and SHA-256 of a file of one's own."""
    if not is_own(kind):
        return {"recipe": kind.name}
    check_kept(kind)
    return {"recipe": kind.__name__, "recipe_file": {"name": _file_name(kind), "sha256": _digest(kind)}}


def recorded(
    manifest: Mapping[str, Any],
    where: Path,
    menu: Mapping[str, Kind],
    warn: Callable[[str], None] = lambda sentence: None,
) -> Kind:
    """The recipe that run.json or config.json at ``where`` speaks of: of the menu, or of what this process has.

    Nothing is imported. ``warn`` hears when the class is of another file than it was; ``UsageError`` says which file
    is needed, ``LuoxiaError`` that none is named.
    """
    name, file = manifest.get("recipe"), manifest.get("recipe_file")
    if not isinstance(name, str):
        raise LuoxiaError(f"{where} is damaged: it names no recipe")
    digest = file.get("sha256") if isinstance(file, dict) else None
    if old := FILE.fullmatch(name):  # of Luoxia 0.1.0: a path, of which nothing but the last part is of use
        name, known_as = old[2] or "", old[1]
    elif isinstance(file, dict):
        known_as = str(file.get("name"))
    elif name in menu:
        return menu[name]
    else:
        raise LuoxiaError(f"{where} names the recipe {readable(name)}, which this Luoxia does not have")
    known_as = re.split(r"[/\\]", known_as)[-1]
    found = _present(name, known_as, digest)
    if found is None:
        raise UsageError(
            f"{where} needs the recipe {readable(name)} of {readable(known_as)}, a file of code that you must name "
            f'yourself: add use=PATH/{readable(known_as)}, in Python luoxia.use("PATH/{readable(known_as)}")'
        )
    if digest is not None and _digest(found) != digest:
        warn(
            f"{_file_name(found)} is not the file that {where} was made with (its SHA-256 differs): "
            f"{found.__name__} as it is now is used"
        )
    return found


def _present(name: str, file: str, digest: Any) -> Kind | None:
    """The class of that name here: of that very file, else as last used, else as imported from a file so called."""
    used = [kind for kind in reversed(_used) if kind.__name__ == name]
    imported = [kind for kind in _imported(Recipe) if kind.__name__ == name and _file_name(kind) == file]
    exact = [kind for kind in (*used, *imported) if _digest(kind) == digest]
    return next(iter((*exact, *used, *imported)), None)


def _imported(parent: Kind) -> Iterator[Kind]:
    """All recipes of one's own that the program itself has imported or defined, below a class."""
    for kind in parent.__subclasses__():
        if is_own(kind) and not kind.__module__.startswith(LOADED) and _digest(kind) is not None:
            yield kind
        yield from _imported(kind)


def _file_name(kind: Kind) -> str:
    file = _file_of(sys.modules.get(kind.__module__))
    return "" if file is None else file.name
