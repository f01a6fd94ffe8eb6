"""Classifying, as a verb: a text, or a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.tasks.outputs import claimed
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.texts import resolved, texts_of
from luoxia.tasks.text_classification.settings import ClassifySettings


def classify(record: ModelRecord, what: str | Path, /, **settings: Any) -> Path | list[dict[str, Any]]:
    """Where the answers were written, or a row for each text.

    A row has ``text``, ``label``, ``probability``, and ``probabilities`` by class. ``settings`` are those of
    ``ClassifySettings``.
    """
    chosen: ClassifySettings = ClassifySettings.from_settings(settings)
    what = resolved(what)
    from luoxia.formats import csv, jsonl
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.tasks.loading import load_model

    read = what if isinstance(what, Path) else None
    out = claimed(record, chosen.out, (".jsonl", ".csv"), chosen.overwrite, read)
    classifier = load_model(record, device=chosen.device)
    texts = texts_of(what, chosen.text)
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
    label = label_of(classifier, record).asked({}, parents=parent(read))
    if out.suffix.lower() == ".csv":
        return csv.write(_as_table(rows), label, out)
    return jsonl.write(rows, label, out)


def _as_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    return [
        ["text", "label", "probability"],
        *([row["text"], row["label"], f"{row['probability']:.6g}"] for row in rows),
    ]
