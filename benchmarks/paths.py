"""Functions and files that a run's path and its config pass through in one ``sample`` and one ``measure``.

Counted are the package's functions to which the run's path, something that holds it (a run, a record of a model) or
its recipe is handed as an argument; methods of these things themselves are left out. Beside them stands how often
config.json and run.json are opened. The same is counted of another checkout with ``--old``:

    python benchmarks/paths.py --old ../luoxia-of-before
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import common

VERBS = {"sample": ("n=4", "out=four.png"), "measure": ("n=50",)}
RUN = ("gan", "steps=2", "width=8", "extractor=self", "score_samples=50", "out=trained-here", "device=cpu")
HERE = Path(__file__).resolve().parent


def counted(source: Path, verb: str) -> dict[str, Any]:
    """What a process with the package at ``source`` counts."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(source), "LUOXIA_CACHE": str(Path(folder) / "cache")}
        command = [sys.executable, "-m", "luoxia", "train", *RUN]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        program = [sys.executable, str(HERE / "paths.py"), "--count", verb]
        done = subprocess.run(
            program, cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
    counts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return counts


def count(verb: str) -> dict[str, Any]:
    """Run a verb in this process and count."""
    import luoxia

    package, run = str(Path(luoxia.__file__).parent), Path("trained-here").resolve()
    functions: set[tuple[str, str]] = set()
    opened = {"config.json": 0, "run.json": 0}

    def profile(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package) and code.co_name[0] != "<":
            names = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) - {"self", "cls"}
            if any(carries(frame.f_locals.get(name), run) for name in names):
                functions.add((code.co_filename, code.co_qualname))

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and (name := Path(str(arguments[0])).name) in opened:
            opened[name] += arguments[1] is not None  # an opener of one's own opens a second time

    sys.addaudithook(heard)
    sys.argv = ["luoxia", verb, "trained-here", *VERBS[verb]]
    sys.setprofile(profile)
    try:
        import_module("luoxia.__main__")  # which runs the command line
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.setprofile(None)
    return {"functions": len(functions), "files": len({file for file, _ in functions}), **opened}


def carries(value: Any, run: Path, depth: int = 1) -> bool:
    """Whether a value is the run's path or lies in it, or holds it as ``path`` or ``folder``, or is its recipe."""
    if isinstance(value, str | Path):
        if not value or len(str(value)) > 4096 or "\n" in str(value):
            return False
        place = Path(value).absolute()
        return place == run or run in place.parents
    if any(kind.__name__ == "Recipe" for kind in type(value).__mro__):
        return True
    held = (
        vars(value)
        if depth and hasattr(value, "__dict__") and type(value).__module__.startswith("luoxia")
        else {}
    )
    if not held:
        return False
    return any(carries(held.get(name), run, 0) for name in ("path", "folder", "recipe"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", type=Path, help="another checkout to count")
    parser.add_argument("--count", choices=VERBS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.count:
        print(json.dumps(count(asked.count)))
        return
    sources = {"here": HERE.parent / "src", **({"old": asked.old / "src"} if asked.old else {})}
    rows = []
    for verb in VERBS:
        for name, source in sources.items():
            found = counted(source.resolve(), verb)
            rows.append(
                (verb, name, *(str(found[key]) for key in ("functions", "files", "config.json", "run.json")))
            )
    print(
        common.table(("verb", "version", "functions", "files", "config.json opened", "run.json opened"), rows)
    )


if __name__ == "__main__":
    main()
