"""The calls behind ``classify`` and ``embed``: settings around the Python API."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luoxia.errors import UsageError
from luoxia.opening import opening
from luoxia.settings import ClassifySettings, EmbedSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def classify(run: str, what: str, /, **settings: Any) -> Path | list[dict[str, Any]]:
    """Classify a text or those in a file; ``settings`` are those of ``ClassifySettings``.

    Returns where the answers were written, or a row for each text: ``text``, ``label``, ``probability``, and
    ``probabilities`` by class.
    """
    opening(run, settings)
    chosen: ClassifySettings = ClassifySettings.from_settings(settings)
    from luoxia.provenance.files import write_file
    from luoxia.sampling import free_path

    out = None if chosen.out is None else free_path(chosen.out, (".jsonl", ".csv"), chosen.overwrite)
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
    return write_file(out, _as_table(rows) if out.suffix.lower() == ".csv" else _as_lines(rows))


def embed(run: str, what: str, /, **settings: Any) -> Path | list[float]:
    """Embed a text or those in a file; ``settings`` are those of ``EmbedSettings``.

    Returns where the embeddings were written, or the cosine of each text with its counterpart in ``against``.
    """
    opening(run, settings)
    chosen: EmbedSettings = EmbedSettings.from_settings(settings)
    from luoxia.provenance.files import write_file
    from luoxia.sampling import free_path

    if (chosen.out is None) == (chosen.against is None):
        raise UsageError('embed needs out=FILE.npy or out=FILE.npz, or else against="another text"')
    out = None if chosen.out is None else free_path(chosen.out, (".npy", ".npz"), chosen.overwrite)
    embedder = _open(run, "embed", chosen.device)
    texts = _texts(what, chosen.text)
    if out is not None:
        return write_file(out, _as_arrays(out.suffix.lower(), embedder.embed(texts), texts))
    others = _texts(str(chosen.against), chosen.text)
    if len(texts) != len(others):
        raise UsageError(
            f"{what} holds {len(texts):,} texts and against= {len(others):,}: give as many of one as of the other"
        )
    cosines = (embedder.embed(texts) * embedder.embed(others)).sum(1)
    return [float(value) for value in cosines]


def _open(run: str, verb: str, device: str) -> Any:
    """The model that answers to a verb."""
    from luoxia import api
    from luoxia.generation.understanding import TextClassifier, TextEmbedder

    wanted = {"classify": TextClassifier, "embed": TextEmbedder}[verb]
    model = api.load(run, device=device)
    if not isinstance(model, wanted):
        raise UsageError(
            api.other_verb(run)
            or f"{run} cannot {verb}: train what can, with luoxia train {verb}-text data=…"
        )
    return model


def _texts(what: str, field: str | None) -> list[str]:
    """The text itself, the lines of a file, or a field of its rows; ``UsageError`` where one is empty or unreadable."""
    from luoxia.data.reading import kind_of
    from luoxia.data.text.alignment import read_lines
    from luoxia.data.text.records import RECORDS
    from luoxia.data.text.sources import read_texts
    from luoxia.sampling import named_file

    path = named_file(what)
    if path is None:
        return [what]
    if kind_of(path) in RECORDS:
        source = read_texts(path, target=field, allow_skipped=1)  # what is skipped is named below
        texts = [document.text for document in source.documents()]
        if source.skips.count:
            first = source.skips.listed[0]
            raise UsageError(
                f"{what} has a row without a text ({first.name}: {first.reason}): mend it or leave it out"
            )
        return texts
    lines = read_lines(path)
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty is not None or not lines:
        raise UsageError(f"line {empty or 1} of {what} is empty: give every line a text, or leave it out")
    return lines


def _as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _as_table(rows: list[dict[str, Any]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["text", "label", "probability"])
    writer.writerows([row["text"], row["label"], f"{row['probability']:.6g}"] for row in rows)
    return table.getvalue()


def _as_arrays(ending: str, embeddings: NDArray[Any], texts: list[str]) -> bytes:
    """``embeddings`` (n, d) as .npy; in an .npz the ``texts`` (n,) beside them."""
    import numpy as np

    buffer = io.BytesIO()
    if ending == ".npy":
        np.save(buffer, embeddings, allow_pickle=False)
    else:
        np.savez(buffer, embeddings=embeddings, texts=np.array(texts), allow_pickle=False)
    return buffer.getvalue()
