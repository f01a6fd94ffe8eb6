"""The measurement of generated texts, under three headings.

Authenticity: can they be distinguished from real ones (two-sample accuracy, trigram divergence). Plausibility: do they
make sense as text (repetition, valid text, known words). Creativity: are they varied and new (distinct-n,
self-BLEU, and the longest verbatim overlap with the training text: its mean, its maximum and how often it is a
copy).

The reference is the same metric with real texts in place of the generated ones: training texts for authenticity,
whose other side is held out, so that it shows how far the two differ by their subjects alone; held-out texts
for the rest. Where the generated texts are cut at some length, so are these.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.intervals import Estimate, mean, share
from luoxia.metrics.ngrams import (
    ORDERS,
    SMOOTHING,
    TOKENIZATION,
    Corpus,
    distinct,
    repetition,
    self_bleu,
    tokenize,
)
from luoxia.metrics.overlap import longest_overlaps
from luoxia.metrics.resampling import bootstrap
from luoxia.metrics.score import HIGHER, LOWER, Score
from luoxia.metrics.twosample import FOLDS, KEPT, STRENGTH, told_apart, trigram_divergence

VERSION = 1  # raise it whenever a metric's value would change
LIMIT = 1000  # texts of each side that are measured
CLASSIFIED = 500  # of these by the classifier
AMONG = 200  # of these for self-BLEU
FEWEST = 10  # texts a side, below which a classifier learns nothing
COPIED = 50  # characters from which an overlap counts as a copy,
MOST = 0.9  # as does one of this share of a text
SLOTS = 20  # pieces of real text to choose each one from, at most
REPEATED = 4  # tokens of an n-gram that counts as repeated

MEANINGS = {
    "trigram divergence": LOWER(
        "How far the frequencies of character trigrams are from those of real texts."
    ),
    "two-sample accuracy": LOWER("Share of texts that a classifier tells from real ones; 0.5 is guessing."),
    "repetition": LOWER("Share of four-token phrases in a text that stood in it before."),
    "valid text": HIGHER("Share of texts without broken or control characters."),
    "known words": HIGHER("Share of words that stand in the training text."),
    "distinct": HIGHER("Different phrases of so many tokens, as a share of all tokens."),
    "self-BLEU": LOWER("How much of a text stands in the other generated ones."),
    "overlap": LOWER("Mean longest stretch, in characters, that stands word for word in the training text."),
    "longest overlap": LOWER("The longest of all stretches that stand word for word in the training text."),
    "copied": LOWER("Share of texts of which such a stretch is long enough to be a copy."),
}
"""What each score tells, distinct-1 to distinct-3 under their stem."""
Signature = dict[str, str | int | float]


@dataclass(frozen=True)
class _Texts:
    """The texts to compare, each list in random order, and what signs all their scores."""

    fake: list[str]
    real: list[str]  # held out
    seen: list[str]  # excerpts of the training text
    training: list[str]
    seed: int
    signature: Signature

    def score(
        self, name: str, heading: str, estimate: Estimate, reference: float | None, **more: str | int | float
    ) -> Score:
        meaning = MEANINGS[name.rstrip("-123")]
        return Score(name, *estimate, reference, heading, {**self.signature, **more}, *meaning)


def measure_texts(
    generated: Sequence[str],
    training: Sequence[str],
    heldout: Sequence[str],
    *,
    whole: bool | None = None,
    seed: int = 0,
    limit: int = LIMIT,
    copied: int = COPIED,
) -> list[Score]:
    """Score generated texts against those they were learned from and those that were held out.

    Args:
        generated: samples; more than ``limit`` are drawn from.
        training: the texts, or the one text, that training saw.
        heldout: real texts, or one long text, that it did not see; at best as much of it as of samples.
        whole: True where generated texts end by themselves, so that whole texts are compared; False where they
            are cut at some length, so that real ones are cut to the same lengths. By default True unless half
            of the training or of the held-out texts are longer than twice the longest sample.
        seed: draws every subset.
        limit: texts of each side that are measured.
        copied: characters from which an overlap with the training text counts as a copy; one of nine tenths of a
            text does in any case.

    Raises:
        LuoxiaError: fewer than two generated texts, no training text, all of them empty, or held-out texts too
            few or too short to set beside the generated ones.
    """
    texts = _prepare(_listed(generated), _listed(training), _listed(heldout), whole, seed, limit)
    return [*_authenticity(texts), *_plausibility(texts), *_creativity(texts, copied)]


def _prepare(
    generated: list[str],
    training: list[str],
    heldout: list[str],
    whole: bool | None,
    seed: int,
    limit: int,
) -> _Texts:
    if len(generated) < 2:
        raise LuoxiaError(f"measuring needs two generated texts or more, not {len(generated)}: generate more")
    if not any(text.strip() for text in generated):
        raise LuoxiaError("every generated text is empty: train longer, or forbid the end token at the start")
    if not any(training):
        raise LuoxiaError("the training text is empty, so nothing can be compared with it: give its files")
    rng = np.random.default_rng(seed)
    fake = [generated[index] for index in rng.permutation(len(generated))[: max(2, limit)].tolist()]
    if whole is None:
        longest = max(map(len, fake))
        whole = all(_middle_length(side) <= 2 * longest for side in (training, heldout))
    lengths = None if whole else [len(text) for text in fake]
    real = excerpts(heldout, lengths, len(fake), seed=seed)
    seen = excerpts(training, lengths, len(fake), seed=seed)
    if min(len(real), len(seen)) < 2:
        side = "held-out" if len(real) < 2 else "training"
        raise LuoxiaError(
            f"the {side} text gives fewer than two pieces as long as the generated texts: give more of it"
        )
    signature: Signature = {
        "generated": len(fake),
        "heldout": len(real),
        "texts": "whole" if whole else "cut to the lengths of the generated",
        "training digest": _digest(training),
        "heldout digest": _digest(heldout),
        "seed": seed,
        "version": VERSION,
    }
    return _Texts(fake, real, seen, training, seed, signature)


def excerpts(texts: Sequence[str], lengths: Sequence[int] | None, count: int, *, seed: int = 0) -> list[str]:
    """Up to ``count`` real texts in random order: whole ones, or pieces of these ``lengths`` in turn.

    Pieces do not overlap. Each begins after white space where its slot, a quarter longer than the longest
    length, has any soon enough. Empty texts are left out.
    """
    rng = np.random.default_rng(seed)
    if lengths is None:
        kept = [text for text in texts if text.strip()]
        return [kept[index] for index in rng.permutation(len(kept))[:count].tolist()]
    longest = max(1, *lengths)
    spread = sum(map(len, texts)) // (SLOTS * max(1, count))
    slot = max(longest + longest // 4, spread)
    slots = [(text, start) for text in texts for start in range(0, len(text) - slot + 1, slot)]
    found = []
    for turn, index in enumerate(rng.permutation(len(slots))[:count].tolist()):
        text, start = slots[index]
        latest = start + longest // 4
        begin = next((at + 1 for at in range(start, latest) if text[at].isspace()), start)
        found.append(text[begin : begin + lengths[turn % len(lengths)]])
    return found


def _authenticity(texts: _Texts) -> list[Score]:
    """Tell generated texts from as many that were held out, and for the floor these from training texts."""
    n = min(len(texts.fake), len(texts.real), len(texts.seen))
    fake, real, seen = texts.fake[:n], texts.real[:n], texts.seen[:n]
    floor = trigram_divergence(seen, real).value
    scores = [
        texts.score("trigram divergence", "authenticity", trigram_divergence(fake, real), floor, compared=n)
    ]
    if n >= FEWEST:
        m = min(n, CLASSIFIED)
        right, floor_right = (told_apart(side[:m], real[:m], seed=texts.seed) for side in (fake, seen))
        settings: Signature = {
            "compared": m,
            "ngrams": "characters 1–5",
            "kept": KEPT,
            "folds": FOLDS,
            "strength": STRENGTH,
        }
        floor = float(floor_right.mean())
        scores.append(texts.score("two-sample accuracy", "authenticity", share(right), floor, **settings))
    return scores


def _plausibility(texts: _Texts) -> list[Score]:
    """How much a text repeats itself, whether it is text at all, and whether its words are words."""
    sides = [[tokenize(text) for text in side] for side in (texts.fake, texts.real)]
    vocabulary = {token for text in texts.training for token in tokenize(text)}
    repeated, repeated_floor = (_repetition(side) for side in sides)
    valid, valid_floor = (share([is_text(text) for text in side]) for side in (texts.fake, texts.real))
    known, known_floor = (_known(side, vocabulary, texts.seed) for side in sides)
    named: dict[str, tuple[Estimate | None, Estimate | None, Signature]] = {
        "repetition": (repeated, repeated_floor, {"n": REPEATED, "tokenization": TOKENIZATION}),
        "valid text": (valid, valid_floor, {}),
        "known words": (known, known_floor, {"tokenization": TOKENIZATION}),
    }
    return [
        texts.score(name, "plausibility", estimate, floor and floor.value, **settings)
        for name, (estimate, floor, settings) in named.items()
        if estimate is not None
    ]


def _repetition(texts: Sequence[Sequence[str]]) -> Estimate | None:
    """Mean ``repetition`` of the tokenized texts that are long enough; None without any."""
    values = repetition(Corpus.of(texts), REPEATED)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    value, low, high = mean(values)
    return Estimate(value, None if low is None else max(0.0, low), None if high is None else min(1.0, high))


def is_text(text: str) -> bool:
    """Whether a text holds no replacement character, surrogate or control character but tab and line ends.

    Bytes that are not UTF-8 become such characters when they are decoded.
    """
    return not any(
        character == "\ufffd"
        or (character not in "\t\n\r" and unicodedata.category(character) in ("Cc", "Cs"))
        for character in set(text)
    )


def _known(texts: Sequence[Sequence[str]], vocabulary: set[str], seed: int) -> Estimate | None:
    """Share of the words in tokenized texts that are in the vocabulary; None without any word."""
    words = [[token for token in text if token[0].isalnum()] for text in texts]
    counts = np.array([(sum(word in vocabulary for word in text), len(text)) for text in words], np.float64)
    if not counts[:, 1].any():
        return None

    def ratio(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        known, all_words = np.moveaxis(counts[rows].sum(1), -1, 0)
        shares: NDArray[np.float64] = np.divide(
            known, all_words, out=np.full(len(rows), np.nan), where=all_words > 0
        )
        return shares

    return bootstrap(ratio, len(texts), seed=seed)


def _creativity(texts: _Texts, copied: int) -> list[Score]:
    """How varied the texts are, and how much of them stands in the training text."""
    sides = [Corpus.of([tokenize(text) for text in side]) for side in (texts.fake, texts.real)]
    least = min(len(corpus.tokens) for corpus in sides)
    tokens = 1 << (least.bit_length() - 1)  # a power of two, so that measurements of two models compare
    equal = [corpus.first(tokens) for corpus in sides]
    scores = []
    for n in (1, 2, 3):
        value, floor = (distinct(corpus, n) for corpus in equal)
        settings: Signature = {"n": n, "tokens": tokens, "divided by": "tokens", "tokenization": TOKENIZATION}
        scores.append(texts.score(f"distinct-{n}", "creativity", value, floor.value, **settings))
    among = min(AMONG, *(corpus.count for corpus in sides))
    value, floor = (self_bleu(corpus.select(np.arange(among))) for corpus in sides)
    settings = {"n": ORDERS, "among": among, "smoothing": SMOOTHING, "tokenization": TOKENIZATION}
    scores.append(texts.score("self-BLEU", "creativity", value, floor.value, **settings))
    return [*scores, *_overlap_scores(texts, copied)]


def _overlap_scores(texts: _Texts, copied: int) -> list[Score]:
    """Score the longest verbatim overlap of each text with the training text, in characters."""
    lengths = longest_overlaps([*texts.fake, *texts.real], texts.training).lengths
    fake, real = lengths[: len(texts.fake)], lengths[len(texts.fake) :]
    longest = Estimate(float(fake.max()), None, None)
    sizes = np.array([len(text) for text in (*texts.fake, *texts.real)])
    whole = (lengths > 0) & (lengths >= MOST * sizes)
    copies, copies_floor = np.split((lengths >= copied) | whole, [len(fake)])
    return [
        texts.score("overlap", "creativity", mean(fake), float(real.mean()), unit="characters"),
        texts.score("longest overlap", "creativity", longest, float(real.max()), unit="characters"),
        texts.score(
            "copied", "creativity", share(copies), float(copies_floor.mean()), at_least=copied, share=MOST
        ),
    ]


def _middle_length(texts: Sequence[str]) -> float:
    return float(np.median([len(text) for text in texts])) if texts else 0.0


def _listed(texts: Sequence[str]) -> list[str]:
    """The texts as a list; a single string is one text and not its characters."""
    return [texts] if isinstance(texts, str) else list(texts)


def _digest(texts: Sequence[str]) -> str:
    """Sixteen hexadecimal digits of SHA-256 over the texts and their lengths."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode(errors="surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()[:16]
