"""The command line: ``luoxia VERB TARGET key=value …``. torch is imported when work starts, not before."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from inspect import Parameter
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from luoxia.cli import help, printing
from luoxia.cli.table import ASK, VERBS, Verb, Word
from luoxia.core import streams
from luoxia.core.errors import LuoxiaError, OldNameWarning, ReportedByOtherRankError, UsageError
from luoxia.core.names import printable

WAIT = 5.0
"""Seconds before a process ends by an error that another one tells: torchrun stops all others when the first ends, the
one that is about to speak, too."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, measure and sample generative models of your own files.",
    epilog="Start with: luoxia train dcgan",
)


def main() -> None:
    """Run the command line."""
    streams.guard()
    warnings.showwarning = _show_warning
    # torch reads this before its first tensor: huge pages for its large ones, where Linux grants them
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        app()
    except SystemExit as ended:
        if not ended.code and (reason := streams.output_lost()):
            printing.say(f"luoxia: standard output cannot be written: {reason}", err=True)
            raise SystemExit(1) from None
        raise


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """A sentence of ours is a line; what other libraries warn of is for their users."""
    if issubclass(category, OldNameWarning) and str(message) not in _warned:
        _warned.add(str(message))
        printing.say(f"luoxia: {message}", err=True)


_warned: set[str] = set()


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from luoxia import __version__

        printing.say(f"luoxia {__version__}")
        raise typer.Exit


@contextlib.contextmanager
def _speaking(debug: bool, as_json: bool = False) -> Iterator[None]:
    """Turn errors into one sentence on standard error and an exit code; a traceback only with ``--debug``."""
    try:
        yield
    except ReportedByOtherRankError as error:
        time.sleep(WAIT)
        raise typer.Exit(error.exit_code) from None
    except LuoxiaError as error:
        raise _ending(str(error), debug, as_json, error.exit_code) from None
    except KeyboardInterrupt:
        raise _ending("interrupted", debug, as_json) from None
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename:  # a disk is full, a name too long
            raise _ending(f"{error.filename} cannot be used: {error.strerror}", debug, as_json) from None
        if _is_of_memory(error):
            raise _ending(
                "not enough memory; lower batch=, size= or width= of a training, n= of samples",
                debug,
                as_json,
            ) from None
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise _ending(
            f"a fault of Luoxia's own, please report it with the traceback of --debug: {message}",
            debug,
            as_json,
        ) from None


def _ending(sentence: str, debug: bool, as_json: bool, code: int = 1) -> typer.Exit:
    """Say the sentence, after the traceback with ``--debug``, and return what ends the program."""
    if debug:
        import traceback

        traceback.print_exc()
    message = printable(sentence.replace(chr(10), " "))
    printing.say(printing.error_as_json(message) if as_json else f"luoxia: {message}", err=True)
    return typer.Exit(code)


def _is_of_memory(error: Exception) -> bool:
    """Whether memory ran out: torch has no type of error for that on CPUs."""
    message = str(error) if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or "out of memory" in message or "can't allocate memory" in message


# ------------------------------------------------------------------ from the table to commands


def _command(verb: Verb) -> Callable[..., None]:
    """The function behind a verb, with the signature that typer reads its words and options from."""

    def command(as_json: bool, debug: bool, dry_run: bool = False, **given: Any) -> None:
        from luoxia.training.own import alone

        with _speaking(debug, as_json), alone():
            words: list[Any]
            words, keys = _sorted_out(verb, given)
            words = list(map(_opened, verb.words, words))  # before torch is imported, and the keys are read
            call = _imported(verb.plan if dry_run else verb.call)
            if verb.call == ASK:
                call = partial(call, verb.name)
            result = call(*words, **_parse(keys, call))
            if os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0":
                _tell(verb, result, as_json, dry_run)  # under torchrun the main process speaks
            if code := getattr(result, "exit_code", 0):
                raise typer.Exit(code)

    parameters = _parameters(verb)
    command.__doc__ = verb.help
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _opened(word: Word, given: str | None) -> Any:
    """What a word of the command line names, or the word as it is."""
    if given is None:
        return None
    if word.either:
        from luoxia.tasks import outputs

        return outputs.Word(given)
    return _imported(word.opens)(Path(given)) if word.opens else given


def _parameters(verb: Verb) -> list[Parameter]:
    """The words of a verb, its keys, its options."""

    def optional(name: str, annotation: Any, default: Any) -> Parameter:
        return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation, default=default)

    def positional(word: Word) -> Parameter:
        argument = typer.Argument(help=word.help, metavar=word.metavar or word.name.upper())
        if word.optional:
            return optional(word.name, Annotated[str | None, argument], None)
        return Parameter(word.name, Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[str, argument])

    def switch(name: str, flag: str, meaning: str) -> Parameter:
        return optional(name, Annotated[bool, typer.Option(flag, help=meaning)], False)

    keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)]
    meaning = "Print one JSON object on standard output, the rest on standard error."
    return [
        *map(positional, verb.words),
        *([optional(KEYS, keys, None)] if verb.keys else []),
        *(
            [switch("dry_run", "--dry-run", "Show what would be done, with cost, and stop.")]
            if verb.plan
            else []
        ),
        switch("as_json", "--json", meaning),
        switch("debug", "--debug", "Show the traceback of an error."),
    ]


OPTIONS = ("--json", "--debug", "--dry-run", "--help")
KEYS = "settings"
"""What typer calls the words that are keys."""


class _Verbs(TyperGroup):
    """The verbs; a wrong use of the command line is one sentence, too."""

    def main(self, *args: Any, **more: Any) -> Any:
        if not more.pop("standalone_mode", True):
            return super().main(*args, standalone_mode=False, **more)  # type: ignore[misc]
        try:
            code = super().main(*args, standalone_mode=False, **more)  # type: ignore[misc]
        except WRONG_USE as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()  # the help
            else:
                sentence, words = _wrong_use(error), more.get("args") or sys.argv
                as_json = "--json" in words
                printing.say(printing.error_as_json(sentence) if as_json else f"luoxia: {sentence}", err=True)
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)


def _wrong_use(error: Any) -> str:
    """One sentence for a wrong use of the command line, with the help to read."""
    message = " ".join(error.format_message().split()).rstrip(".").replace(". Did you", "; did you")
    message = (message[:1].lower() + message[1:]).replace("such command", "such verb")
    verb = "" if error.ctx is None or error.ctx.parent is None else f"{error.ctx.info_name} "
    return message if message.endswith("?") else f"{message}; see luoxia {verb}--help"


BESIDE_HELP = "luoxia.beside_help"
WRONG_USE: Any = typer.BadParameter.__base__


class _Help(TyperCommand):
    """A verb whose ``--help`` ends with its keys, read from its settings only then; ``--help --all`` lists all."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep what stands beside ``--help``, which is read before all else."""
        ctx.meta[BESIDE_HELP] = [word for word in args if word != "--help"]
        parsed: list[str] = super().parse_args(ctx, [word for word in args if word != "--all"])
        return parsed

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        verb = next(verb for verb in VERBS if verb.name == self.name)
        beside = ctx.meta.get(BESIDE_HELP, [])
        if verb.keys:
            words = [word for word in beside if not word.startswith("-") and "=" not in word]
            help.print_verb(verb, words, every="--all" in beside)


def _sorted_out(verb: Verb, given: dict[str, Any]) -> tuple[list[str | None], list[str]]:
    """(the words, the keys): an optional word that is left out must not swallow the first key."""
    keys = given.pop(KEYS, None) or []
    words = [given[word.name] for word in verb.words]
    last = words[-1]
    if (
        verb.keys
        and verb.words[-1].optional
        and last
        and (last[0] == "-" or "=" in last)
        and not Path(last).exists()
    ):
        return [*words[:-1], None], [last, *keys]
    return words, keys


def _imported(call: str) -> Any:
    module, _, name = call.partition(":")
    return attrgetter(name)(import_module(f"luoxia.{module}"))


def _parse(words: list[str], call: Callable[..., Any]) -> dict[str, Any]:
    """The settings in ``key=value`` words; the arguments of the call itself are not keys."""
    from luoxia.core.settings import parse_settings, right_form

    own = [p.name for p in inspect.signature(call).parameters.values() if p.kind in ARGUMENTS]
    for number, word in enumerate(words):
        if word in OPTIONS:
            raise UsageError(f"{word} stands after --, where nothing is an option: write it before that")
        if form := right_form(words[number:]):
            raise UsageError(f"'{word}' is not a setting; use {form}")
    settings = parse_settings(words)
    for key in settings:
        if key in own:
            raise UsageError(f"unknown key '{key}'")
    return settings


ARGUMENTS = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def _tell(verb: Verb, made: Any, as_json: bool, planned: bool) -> None:
    """Print what a verb returned."""
    if planned:
        printing.print_json(made) if as_json else printing.print_plan(made)
    elif as_json:
        printing.print_json(verb.as_json(made))
    else:
        verb.show(made)


app.info.cls = _Verbs
for _verb in VERBS:
    known = {
        "ignore_unknown_options": _verb.keys
    }  # what begins with a dash may be a text, or a setting gone astray
    app.command(_verb.name, cls=_Help, epilog=_verb.epilog, context_settings=known)(_command(_verb))

if __name__ == "__main__":
    main()
