"""Embedding, as a verb: vectors of texts in a file, or the cosines of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luoxia.core.errors import UsageError
from luoxia.tasks.outputs import Word, claimed
from luoxia.tasks.record import ModelRecord
from luoxia.tasks.shared.texts import resolved, texts_of
from luoxia.tasks.text_embedding.settings import EmbedSettings


def embed(
    record: ModelRecord, what: str | Path, /, *, other: str | Path | None = None, **settings: Any
) -> Path | list[dict[str, Any]]:
    """Where the embeddings were written, or a row for each ``pair`` of texts with its ``cosine``.

    The counterparts are ``other``, or what the word ``against`` names. ``settings`` are those of ``EmbedSettings``.
    """
    chosen: EmbedSettings = EmbedSettings.from_settings(settings)
    what = resolved(what)
    if chosen.against is not None:
        other = resolved(Word(chosen.against))
    from luoxia.formats import npy, npz
    from luoxia.tasks.labeling import label_of, parent
    from luoxia.tasks.loading import load_model

    if (chosen.out is None) == (other is None):
        raise UsageError('embed needs out=FILE.npy or out=FILE.npz, or else against="another text"')
    read = what if isinstance(what, Path) else None
    out = claimed(record, chosen.out, (".npy", ".npz"), chosen.overwrite, read)
    embedder = load_model(record, device=chosen.device)
    texts = texts_of(what, chosen.text)
    embeddings = embedder.embed(texts)
    if out is not None:
        label = label_of(embedder, record).asked({}, parents=parent(read))
        if out.suffix.lower() == ".npy":
            return npy.write(embeddings, label, out)
        import numpy as np

        return npz.write({"embeddings": embeddings, "texts": np.array(texts)}, label, out)
    assert other is not None
    others = texts_of(other, chosen.text)
    if len(texts) != len(others):
        raise UsageError(
            f"{what} holds {len(texts):,} texts and against= {len(others):,}: give as many of one as of the other"
        )
    cosines = (embeddings * embedder.embed(others)).sum(1)
    rows = zip(texts, others, cosines, strict=True)
    return [{"pair": [text, other], "cosine": float(cosine)} for text, other, cosine in rows]
