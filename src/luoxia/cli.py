"""The command line: ``luoxia VERB TARGET key=value …``. torch is imported when work starts, not before."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from luoxia.errors import LuoxiaError, ToldElsewhereError, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, measure and sample generative models of your own files.",
    epilog="Start with: luoxia train dcgan",
)

SHOWN = 10
"""Skipped files that ``luoxia data`` lists; ``--json`` has all."""

Settings = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, the rest on standard error.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


class _Keys(TyperCommand):
    """A verb whose ``--help`` ends with its keys, read from its settings only then."""

    settings: tuple[str, ...] = ()
    module = "luoxia.sampling"

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        from importlib import import_module

        for name in self.settings:
            keys = getattr(import_module(self.module), name)
            if len(self.settings) > 1:
                typer.echo(f"\n{keys.__doc__}")
            _print_keys(keys)


class _SampleKeys(_Keys):
    settings = ("SampleSettings", "TextSettings")


class _TranslateKeys(_Keys):
    settings = ("TranslateSettings",)


class _ClassifyKeys(_Keys):
    settings = ("ClassifySettings",)
    module = "luoxia.asking"


class _EmbedKeys(_Keys):
    settings = ("EmbedSettings",)
    module = "luoxia.asking"


class _ExportKeys(_Keys):
    settings = ("ExportSettings",)


class _MeasureKeys(_Keys):
    settings = ("MeasureSettings",)


class _DataKeys(_Keys):
    settings = ("DataSettings",)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without ≤ shows a question mark, and no error
            stream.reconfigure(errors="replace")
    app()


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from luoxia import __version__

        typer.echo(f"luoxia {__version__}")
        raise typer.Exit


@contextlib.contextmanager
def _speaking(debug: bool) -> Iterator[None]:
    """Turn errors into one sentence on standard error and an exit code; a traceback only with ``--debug``."""
    try:
        yield
    except ToldElsewhereError as error:
        raise typer.Exit(error.exit_code) from None
    except LuoxiaError as error:
        raise _ending(str(error), debug, error.exit_code) from None
    except KeyboardInterrupt:
        raise _ending("interrupted", debug) from None
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or _names_memory(str(error)):
            raise _ending("not enough memory; lower batch=, size= or width=", debug) from None
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise _ending(
            f"a fault of Luoxia's own, please report it with the traceback of --debug: {told}", debug
        ) from None


def _ending(sentence: str, debug: bool, code: int = 1) -> typer.Exit:
    """Say the sentence, after the traceback with ``--debug``, and return what ends the program."""
    if debug:
        import traceback

        traceback.print_exc()
    typer.echo(f"luoxia: {sentence}", err=True)
    return typer.Exit(code)


def _names_memory(message: str) -> bool:
    """Whether torch says that memory ran out: it has no type of error for that on CPUs."""
    return "out of memory" in message or "can't allocate memory" in message


@app.command(epilog="The keys of a recipe, with their defaults: luoxia recipes NAME")
def train(
    recipe: Annotated[str, typer.Argument(help="A name from `luoxia recipes`, or FILE.py:CLASS.")],
    settings: Settings = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, with cost, and stop.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a model: luoxia train dcgan data=photos/ size=64 budget=10m."""
    with _speaking(debug):
        given = _parse(settings, "recipe", "quiet")
        from luoxia import api

        if dry_run:
            planned = api.plan(recipe, **given)
            _print_json(planned) if as_json else _print_plan(planned)
        else:
            _print_run(api.train(recipe, **given), as_json)


@app.command(epilog="Keys: steps, budget, data, device, compile, keep and those that end in _every.")
def resume(
    run: Annotated[str, typer.Argument(help="A run's folder.")],
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Go on with a run, bit for bit: luoxia resume runs/dcgan-1 steps=20000."""
    with _speaking(debug):
        given = _parse(settings, "run", "quiet")
        from luoxia import api

        _print_run(api.resume(run, **given), as_json)


@app.command(epilog="Keys: those of the recipe, such as lora=8; luoxia recipes gpt")
def finetune(
    model: Annotated[str, typer.Argument(help="A run, a model folder, or a Hugging Face folder.")],
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Go on from a trained model on other data: luoxia finetune runs/gpt-1 data=letters/ lora=8."""
    with _speaking(debug):
        given = _parse(settings, "model", "quiet")
        from luoxia import api

        _print_run(api.finetune(model, **given), as_json)


@app.command(cls=_ExportKeys)
def export(
    run: Annotated[str, typer.Argument(help="A language model's run, or its model folder.")],
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a model for other toolkits: luoxia export runs/gpt-1 format=huggingface out=FOLDER."""
    with _speaking(debug):
        given = _parse(settings)
        from luoxia import sampling

        out = sampling.export(run, **given)
        _print_json({"out": str(out)}) if as_json else typer.echo(out)


@app.command(cls=_SampleKeys)
def sample(
    run: Annotated[str, typer.Argument(help="A run's folder, or a model folder.")],
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate: luoxia sample runs/dcgan-1 n=64 seed=1 out=grid.png | folder/ | samples.npz | walk.gif."""
    with _speaking(debug):
        given = _parse(settings)
        from luoxia import sampling

        made = sampling.sample(run, **given)
        if isinstance(made, Path):
            _print_json({"out": str(made)}) if as_json else typer.echo(made)
        elif as_json:
            _print_json({"text": "".join(made)})
        else:
            for piece in made:
                typer.echo(piece, nl=False)
            typer.echo()


@app.command(cls=_TranslateKeys)
def translate(
    run: Annotated[str, typer.Argument(help="A translator's run, or its model folder.")],
    text: Annotated[str, typer.Argument(help="A text, or a file to translate line by line.")],
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Translate: luoxia translate runs/translate-1 "A man is walking." | lines.en out=lines.de."""
    with _speaking(debug):
        given = _parse(settings)
        from luoxia import sampling

        made = sampling.translate(run, text, **given)
        key = "out" if isinstance(made, Path) else "text"
        _print_json({key: str(made)}) if as_json else typer.echo(made)


@app.command(cls=_ClassifyKeys)
def classify(
    run: Annotated[str, typer.Argument(help="A text classifier's run, or its model folder.")],
    text: Annotated[str, typer.Argument(help="A text, or a file of them, one a line or row.")],
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say the class of texts: luoxia classify runs/classify-text-1 "A text." | texts.txt out=FILE.jsonl | FILE.csv."""
    with _speaking(debug):
        given = _parse(settings)
        from luoxia import asking

        made = asking.classify(run, text, **given)
        if isinstance(made, Path):
            _print_json({"out": str(made)}) if as_json else typer.echo(made)
        elif as_json:
            _print_json({"texts": made})
        else:
            for row in made:
                typer.echo(f"{row['label']}\t{row['probability']:.3f}")


@app.command(cls=_EmbedKeys)
def embed(
    run: Annotated[str, typer.Argument(help="A text embedder's run, or its model folder.")],
    text: Annotated[str, typer.Argument(help="A text, or a file of them, one a line or row.")],
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Embed texts, or compare two: luoxia embed runs/embed-text-1 texts.txt out=FILE.npy | "One." against="Another"."""
    with _speaking(debug):
        given = _parse(settings)
        from luoxia import asking

        made = asking.embed(run, text, **given)
        if isinstance(made, Path):
            _print_json({"out": str(made)}) if as_json else typer.echo(made)
        elif as_json:
            _print_json({"similarity": made})
        else:
            typer.echo("\n".join(f"{cosine:.4f}" for cosine in made))


@app.command(cls=_MeasureKeys)
def measure(settings: Settings = None, as_json: Json = False, debug: Debug = False) -> None:
    """Score a run, or any images: luoxia measure RUN | luoxia measure data=A against=B."""
    with _speaking(debug):
        words = settings or []
        run = words[0] if words and "=" not in words[0] else None
        given = _parse(words[1:] if run else words)
        from luoxia import sampling

        measurement = sampling.measure(run, **given)
        _print_json(measurement.as_dict()) if as_json else _print_scores(measurement)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Show this recipe's keys.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the recipes, or one recipe's keys with their defaults."""
    with _speaking(debug):
        from luoxia.recipes import RECIPES, find

        if name is None:
            table = {key: {"title": r.title, "source": r.source} for key, r in RECIPES.items()}
            if as_json:
                _print_json(table)
            else:
                _print_table(
                    ("recipe", "is", "source"), [(k, v["title"], v["source"]) for k, v in table.items()]
                )
        elif as_json:
            _print_json(find(name).model_json_schema())
        else:
            _print_recipe(find(name))


@app.command(cls=_DataKeys)
def data(
    path: Annotated[
        str | None, typer.Argument(help="A folder, zip, npz or IDX file; the embedded digits if left out.")
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what would be read from a path: luoxia data photos/ size=64."""
    with _speaking(debug):
        if path is not None and "=" in path and not Path(path).exists():
            settings, path = [path, *(settings or [])], None
        given = _parse(settings)
        from luoxia import sampling

        description = sampling.describe_data(path, **given)
        _print_json(description) if as_json else _print_pairs(description)


# ------------------------------------------------------------------ reading and printing


def _parse(words: list[str] | None, *arguments: str) -> dict[str, Any]:
    """The settings in ``key=value`` words; ``arguments`` of the call behind the verb are no keys of it."""
    from luoxia.config import parse_settings

    settings = parse_settings(words or [])
    for key in settings:
        if key in arguments:
            raise UsageError(f"unknown key '{key}'")
        if not key.isidentifier():
            raise UsageError(f"'{key}' is no key: write key=value")
    return settings


def _print_json(value: Any) -> None:
    narrow = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf").lower()
    typer.echo(json.dumps(value, ensure_ascii=narrow, default=str))


def _print_run(run: Any, as_json: bool) -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK", "0") != "0":
        return  # under torchrun the main process speaks
    scores = [record["scores"] for record in run.records("score") if record.get("final")]
    grids = sorted((run.path / "samples").glob("step_*"))
    outcome = {
        "run": str(run.path),
        "samples": str(grids[-1]) if grids else None,
        "report": str(run.path / "report.html"),
        "scores": scores[-1] if scores else [],
    }
    if as_json:
        _print_json(outcome)
        return
    from luoxia.metrics.score import Score

    for score in outcome["scores"]:
        typer.echo(f"  {Score.from_dict(score)}")
    typer.echo(f"run:     {outcome['run']}\nsamples: {outcome['samples']}\nreport:  {outcome['report']}")


def _print_scores(measurement: Any) -> None:
    rows = [
        (
            s.heading,
            s.name,
            _short(s.value),
            f"{_short(s.low)} … {_short(s.high)}" if s.low is not None else "",
            _short(s.floor),
        )
        for s in measurement.scores
    ]
    trivial = all("floor" in s.signature for s in measurement.scores)  # chance, or always the same answer
    floor = "floor" if trivial else "real against real"
    _print_table(("heading", "score", "value", "95% interval", floor), rows)
    signature = dict(measurement.scores[0].signature)
    typer.echo("signature: " + ", ".join(f"{key} {value}" for key, value in signature.items()))


def _print_plan(planned: dict[str, Any]) -> None:
    from luoxia.config import flatten
    from luoxia.runs.display import clock

    _print_pairs(flatten(planned["config"]))
    parameters = ", ".join(f"{name} {number:,}" for name, number in planned["parameters"].items())
    typer.echo(f"data:       {planned['data']['description']}")
    typer.echo(f"parameters: {parameters}")
    if planned["memory_bytes"] is not None:
        typer.echo(f"memory:     {planned['memory_bytes'] / 2**20:,.0f} MiB at the peak of a few steps")
    each = planned["seconds_per_step"]
    typer.echo(f"time:       {clock(planned['seconds'])} for training ({each * 1000:,.1f} ms a step here)")


def _print_recipe(recipe: Any) -> None:
    typer.echo(f"{recipe.name}: {recipe.title} ({recipe.source})\n{(recipe.__doc__ or '').strip()}")
    if recipe.published:
        typer.echo(f"As published: luoxia train {recipe.name} {recipe.published}")
    _print_keys(recipe)


def _print_keys(settings: Any) -> None:
    """The keys of a recipe or of a verb, with defaults and meanings."""
    from luoxia.config import flatten, meanings

    rows = [
        (key, _plain(value), meaning)
        for (key, value), meaning in zip(
            flatten(settings().model_dump(mode="json", by_alias=True)).items(),
            meanings(settings).values(),
            strict=True,
        )
    ]
    _print_table(("key", "default", "meaning"), rows)


def _print_pairs(pairs: dict[str, Any]) -> None:
    width = max(map(len, pairs), default=0)
    for key, value in pairs.items():
        typer.echo(f"{key:{width}}  {_plain(value)}")


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def _plain(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and isinstance(value[0], dict):  # files that were skipped
        shown = [" ".join(["\n   ", f"{v['name']}:", v["reason"]]) for v in value[:SHOWN]]
        return f"{len(value):,}" + "".join(shown) + ("\n    …" if len(value) > SHOWN else "")
    if isinstance(value, list):
        return ",".join(map(_plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()
