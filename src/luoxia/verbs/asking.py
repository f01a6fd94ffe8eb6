"""The calls behind ``classify`` and ``embed``: settings around the Python API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.core.errors import UsageError
from luoxia.runs.folder import kind_of, other_verb
from luoxia.tasks.text_classification.settings import ClassifySettings
from luoxia.tasks.text_embedding.settings import EmbedSettings
from luoxia.verbs.opening import opening


def classify(
    run: str,
    /,
    *,
    text: str | None = None,
    file: str | Path | None = None,
    field: str | None = None,
    **settings: Any,
) -> Path | list[dict[str, Any]]:
    """Classify a ``text``, or those in a ``file``: its lines, or a ``field`` of its rows.

    ``settings`` are the others of ``ClassifySettings``. Returns where the answers were written, or a row for each text:
    ``text``, ``label``, ``probability``, and ``probabilities`` by class.
    """
    opening(run, settings)
    return _classify(run, _given("classify", text, file), _settings(ClassifySettings, settings, field))


def classify_word(run: str, what: str, /, **settings: Any) -> Path | list[dict[str, Any]]:
    """The same for a word of the command line, which may be a text or name a file; ``text=`` is the field."""
    opening(run, settings)
    return _classify(run, _guessed(what), ClassifySettings.from_settings(settings))


def embed(
    run: str,
    /,
    *,
    text: str | None = None,
    file: str | Path | None = None,
    against: str | None = None,
    against_file: str | Path | None = None,
    field: str | None = None,
    **settings: Any,
) -> Path | list[float]:
    """Embed a ``text``, or those in a ``file``: its lines, or a ``field`` of its rows.

    ``settings`` are the others of ``EmbedSettings``. Returns where the embeddings were written, or the cosine of each
    text with its counterpart: the text ``against``, or those in ``against_file``.
    """
    opening(run, settings)
    other = None if against is against_file is None else _given("embed against", against, against_file)
    return _embed(run, _given("embed", text, file), other, _settings(EmbedSettings, settings, field))


def embed_word(run: str, what: str, /, **settings: Any) -> Path | list[float]:
    """The same for words of the command line, which may be texts or name files; ``text=`` is the field."""
    opening(run, settings)
    chosen: EmbedSettings = EmbedSettings.from_settings(settings)
    other = None if chosen.against is None else _guessed(chosen.against)
    return _embed(run, _guessed(what), other, chosen)


def _settings(kind: type[ClassifySettings], settings: dict[str, Any], field: str | None) -> Any:
    """Those of Python, where the text itself is ``text`` and the field of a row is ``field``."""
    return kind.from_settings({**settings, **({} if field is None else {"text": field})})


def _given(verb: str, text: str | None, file: str | Path | None) -> str | Path:
    if (text is None) == (file is None):
        raise UsageError(f"{verb} needs a text or a file, one of them")
    return text if text is not None else Path(str(file))


def _guessed(what: str) -> str | Path:
    from luoxia.verbs.sampling import named_file

    return named_file(what) or what


def _classify(run: str, what: str | Path, chosen: ClassifySettings) -> Path | list[dict[str, Any]]:
    from luoxia.formats import csv, jsonl
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.verbs.sampling import claimed

    out = (
        None
        if chosen.out is None
        else claimed(run, chosen.out, (".jsonl", ".csv"), chosen.overwrite, *_files(what))
    )
    classifier = _open(run, "classify", chosen.device)
    texts = _texts(what, chosen.text)
    rows = [
        {
            "text": text,
            "label": classifier.classes[shares.argmax()],
            "probability": float(shares.max()),
            "probabilities": dict(zip(classifier.classes, map(float, shares), strict=True)),
        }
        for text, shares in zip(texts, classifier.probabilities(texts), strict=True)
    ]
    if out is None:
        return rows
    label = label_of(classifier, run).asked({}, parents=parent(what if isinstance(what, Path) else None))
    if out.suffix.lower() == ".csv":
        return csv.write(_as_table(rows), label, out)
    return jsonl.write(rows, label, out)


def _embed(run: str, what: str | Path, other: str | Path | None, chosen: EmbedSettings) -> Path | list[float]:
    from luoxia.formats import npy, npz
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.verbs.sampling import claimed

    if (chosen.out is None) == (other is None):
        raise UsageError('embed needs out=FILE.npy or out=FILE.npz, or else against="another text"')
    out = (
        None
        if chosen.out is None
        else claimed(run, chosen.out, (".npy", ".npz"), chosen.overwrite, *_files(what))
    )
    embedder = _open(run, "embed", chosen.device)
    texts = _texts(what, chosen.text)
    embeddings = embedder.embed(texts)
    if out is not None:
        label = label_of(embedder, run).asked({}, parents=parent(what if isinstance(what, Path) else None))
        if out.suffix.lower() == ".npy":
            return npy.write(embeddings, label, out)
        import numpy as np

        return npz.write({"embeddings": embeddings, "texts": np.array(texts)}, label, out)
    assert other is not None
    others = _texts(other, chosen.text)
    if len(texts) != len(others):
        raise UsageError(
            f"{what} holds {len(texts):,} texts and against= {len(others):,}: give as many of one as of the other"
        )
    cosines = (embeddings * embedder.embed(others)).sum(1)
    return [float(value) for value in cosines]


def _files(*given: str | Path | None) -> list[Path]:
    return [path for path in given if isinstance(path, Path)]


def _open(run: str, verb: str, device: str) -> Any:
    """The model that answers to a verb."""
    if kind_of(run) not in ("", {"classify": "text classifier", "embed": "text embedder"}[verb]):
        raise UsageError(
            other_verb(run) or f"{run} cannot {verb}: train what can, with luoxia train {verb}-text data=…"
        )
    from luoxia.verbs import api

    return api.load(run, device=device)


def _texts(what: str | Path, field: str | None) -> list[str]:
    """The text itself, the lines of a file, or a field of its rows; ``UsageError`` where one is empty or unreadable."""
    from luoxia.media.text.asked import texts_in

    return [what] if isinstance(what, str) else texts_in(what, field)


def _as_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [
        ["text", "label", "probability"],
        *([row["text"], row["label"], f"{row['probability']:.6g}"] for row in rows),
    ]
