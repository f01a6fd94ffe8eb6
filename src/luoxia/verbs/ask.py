"""The verbs that ask a trained model: ``sample``, ``translate`` and others. Its task says what each of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.tasks.outputs import input_of
from luoxia.verbs.request import opened


def ask(verb: str, model: Any, /, *words: Any, **settings: Any) -> Any:
    """Let the task of the ``model`` (a run, or a model folder) do what a verb asks.

    ``words`` and ``settings`` are those of the command line: ``ask("sample", "runs/dcgan-1", n=64, out="grid.png")``.
    Returns what the task's capability returns: where something was written, facts with that as ``out``, rows, or texts.
    """
    record = opened(model, settings)
    return record.task.capability(verb, record)(record, *words, **settings)


def translate(
    model: Any, /, *, text: str | None = None, file: str | Path | None = None, **settings: Any
) -> Any:
    """Translate a ``text``, or a ``file``: its lines, or images.

    Returns a text's translation, where it was written, or what became of the images.
    """
    return ask("translate", model, input_of("translate", text, file), **settings)


def classify(
    model: Any,
    /,
    *,
    text: str | None = None,
    file: str | Path | None = None,
    field: str | None = None,
    **settings: Any,
) -> Any:
    """Classify a ``text``, or those in a ``file``: its lines, or a ``field`` of its rows.

    Returns where the answers were written, or a row for each text.
    """
    return ask("classify", model, input_of("classify", text, file), **_field(field), **settings)


def embed(
    model: Any,
    /,
    *,
    text: str | None = None,
    file: str | Path | None = None,
    against: str | None = None,
    against_file: str | Path | None = None,
    field: str | None = None,
    **settings: Any,
) -> Any:
    """Embed a ``text``, or those in a ``file``: its lines, or a ``field`` of its rows.

    Returns where the embeddings were written, or a row with the ``cosine`` of each ``pair`` of a text and its
    counterpart: the text ``against``, or those in ``against_file``.
    """
    what = input_of("embed", text, file)
    if against is not None or against_file is not None:
        settings["other"] = input_of("embed against", against, against_file)
    return ask("embed", model, what, **_field(field), **settings)


def _field(field: str | None) -> dict[str, str]:
    """As on the command line, where ``text=`` is the field."""
    return {} if field is None else {"text": field}
