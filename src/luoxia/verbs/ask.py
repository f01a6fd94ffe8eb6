"""The verbs that ask a trained model: ``sample``, ``translate`` and others. Its task says what each of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.tasks.outputs import Word, input_of
from luoxia.verbs.request import opened


def ask(verb: str, model: Any, /, *words: Any, **settings: Any) -> Any:
    """Let the task of the ``model`` (a run, or a model folder) do what a verb asks."""
    record = opened(model, settings)
    return record.task.capability(verb, record)(record, *words, **settings)


def sample(model: Any, /, **settings: Any) -> Any:
    """Generate. Returns where the samples were written; a text, in pieces, where ``out`` is unset."""
    return ask("sample", model, **settings)


def interpolate(model: Any, /, **settings: Any) -> Path:
    """Write a walk through latents. Returns where."""
    return Path(ask("interpolate", model, **settings))


def mix(model: Any, /, **settings: Any) -> Path:
    """Write a grid of mixed styles. Returns where."""
    return Path(ask("mix", model, **settings))


def directions(model: Any, /, **settings: Any) -> dict[str, Any]:
    """Write the directions that a generator can be steered along, and pictures of them."""
    found: dict[str, Any] = ask("directions", model, **settings)
    return found


def project(model: Any, file: str, /, **settings: Any) -> dict[str, Any]:
    """Find the latent of a ``file``, write it, and a picture of the search."""
    found: dict[str, Any] = ask("project", model, file, **settings)
    return found


def edit(model: Any, file: str, /, **settings: Any) -> Path:
    """Paint a part of a ``file``, by ``mask=``, a text or both. Returns where it was written."""
    return Path(ask("edit", model, file, **settings))


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

    Returns where the embeddings were written, or the cosine of each text with its counterpart: the text ``against``, or
    those in ``against_file``.
    """
    what = input_of("embed", text, file)
    if against is not None or against_file is not None:
        settings["other"] = input_of("embed against", against, against_file)
    return ask("embed", model, what, **_field(field), **settings)


def export(model: Any, /, **settings: Any) -> Path:
    """Write the model for other toolkits. Returns where."""
    return Path(ask("export", model, **settings))


def _field(field: str | None) -> dict[str, str]:
    """As on the command line, where ``text=`` is the field."""
    return {} if field is None else {"text": field}


# ------------------------------------------------------------------ words of the command line, which may name files


def translate_word(model: str, what: str, /, **settings: Any) -> Any:
    """``luoxia translate``."""
    return ask("translate", model, Word(what), **settings)


def classify_word(model: str, what: str, /, **settings: Any) -> Any:
    """``luoxia classify``."""
    return ask("classify", model, Word(what), **settings)


def embed_word(model: str, what: str, /, **settings: Any) -> Any:
    """``luoxia embed``."""
    return ask("embed", model, Word(what), **settings)
