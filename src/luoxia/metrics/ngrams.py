"""n-grams of texts: how varied a set of texts is, and how much a text repeats itself.

One tokenization serves every language: words and punctuation marks, and single characters in scripts that
put no space between words. n-grams are named by integers, exactly and without a Python loop over tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from luoxia.metrics.intervals import Estimate
from luoxia.metrics.resampling import jackknife

HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"  # Thai to Khmer, and kana
TOKENIZATION = "lower-case words and marks, characters of scripts without spaces"
SMOOTHING = 0.1  # matches counted where a precision has none (Chen and Cherry 2014, method 1)
ORDERS = 4  # of BLEU

_LETTER = rf"[^\W{HAN}{SPACELESS}]"
_TOKEN = re.compile(rf"[{HAN}{SPACELESS}]|{_LETTER}+(?:['’]{_LETTER}+)*|[^\w\s]")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case words, punctuation marks and, in scripts without spaces, characters."""
    return _TOKEN.findall(text.lower())


@dataclass(frozen=True)
class Corpus:
    """Texts as integers: tokens (t,) and the text (t,), 0 to ``count`` - 1 and rising, that each is from."""

    tokens: Ints
    owners: Ints
    count: int

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]]) -> Corpus:
        """Number the distinct tokens of tokenized texts; a text's characters serve too."""
        flat = list(chain.from_iterable(texts))
        numbers = {token: number for number, token in enumerate(dict.fromkeys(flat))}
        tokens = np.fromiter((numbers[token] for token in flat), np.int64, len(flat))
        lengths = [len(text) for text in texts]
        return cls(tokens, np.repeat(np.arange(len(texts)), lengths), len(texts))

    @property
    def lengths(self) -> Ints:
        """Tokens of each text (count,)."""
        return np.bincount(self.owners, minlength=self.count)

    def first(self, tokens: int) -> Corpus:
        """Keep this many tokens from the start, and the texts that they are from."""
        owners = self.owners[:tokens]
        return Corpus(self.tokens[:tokens], owners, int(owners[-1]) + 1 if len(owners) else 0)

    def select(self, texts: Ints) -> Corpus:
        """Keep some texts, (k,) in rising order, renumbered."""
        new = np.full(self.count, -1)
        new[texts] = np.arange(len(texts))
        owners = new[self.owners]
        return Corpus(self.tokens[owners >= 0], owners[owners >= 0], len(texts))

    def ngrams(self, n: int) -> tuple[Ints, Ints]:
        """Name and text (m,) of every n-gram that lies within one text; equal names are equal n-grams."""
        names = self.tokens
        if len(names) < n:
            return names[:0], names[:0]
        base = int(self.tokens.max()) + 1
        for shift in range(1, n):
            names = np.unique(names[:-1] * base + self.tokens[shift:], return_inverse=True)[1]
        inside = self.owners[: len(names)] == self.owners[n - 1 :]
        return names[inside], self.owners[: len(names)][inside]


def distinct(corpus: Corpus, n: int) -> Estimate:
    """distinct-n: distinct n-grams over tokens (Li et al. 2016, arXiv:1510.03055, section 5.3).

    It falls as a corpus grows, so it compares between corpora of as many tokens only. 0 without tokens; the
    interval is over texts.
    """
    names, owners = corpus.ngrams(n)
    lengths = corpus.lengths

    def of_texts(texts: Ints) -> float:
        kept = names[np.isin(np.arange(corpus.count), texts)[owners]]
        return int((np.bincount(kept) > 0).sum()) / max(1, int(lengths[texts].sum()))

    return jackknife(of_texts, corpus.count)


def repetition(corpus: Corpus, n: int = 4) -> Floats:
    """Share of a text's n-grams that repeat an earlier one, 1 - distinct / all → (count,).

    This is seq-rep-n (Welleck et al. 2019, arXiv:1908.04319, eq. 10); NaN for a text of fewer than n tokens.
    """
    names, owners = corpus.ngrams(n)
    total = np.bincount(owners, minlength=corpus.count)
    kept = np.bincount(np.unique(names * corpus.count + owners) % corpus.count, minlength=corpus.count)
    share: Floats = np.divide(kept, total, out=np.full(corpus.count, np.nan), where=total > 0)
    return 1 - share


def self_bleu(corpus: Corpus) -> Estimate:
    """Self-BLEU: mean BLEU, 0 to 1, of each text among the others (Zhu et al. 2018, arXiv:1802.01886).

    It rises with the number of texts, so it compares between samples of as many only. Two texts or more; no
    interval for fewer than four.
    """

    def of_texts(texts: Ints) -> float:
        return float(bleu_among_others(corpus.select(texts)).mean())

    if corpus.count < 4:
        return Estimate(of_texts(np.arange(corpus.count)), None, None)
    return jackknife(of_texts, corpus.count)


def bleu_among_others(corpus: Corpus, orders: int = ORDERS) -> Floats:
    """BLEU, 0 to 1, of each text with all the others as references → (count,); two texts or more.

    Precisions without a match count
    ``SMOOTHING`` matches; orders longer than the text are left out; the reference length is the closest of
    the others', the shorter of two. A text that shares no token scores 0.
    """
    logs, used = np.zeros(corpus.count), np.zeros(corpus.count)
    matched = np.zeros(corpus.count, bool)
    for n in range(1, orders + 1):
        matches, totals = _clipped_matches(corpus, n)
        matched |= matches > 0
        possible = totals > 0
        precision = np.where(matches > 0, matches, SMOOTHING) / np.maximum(totals, 1)
        logs += np.where(possible, np.log(precision), 0)
        used += possible
    lengths = corpus.lengths
    ratio = _closest_others(lengths) / np.maximum(lengths, 1)
    score: Floats = np.exp(logs / np.maximum(used, 1) + np.minimum(0, 1 - ratio))
    return np.where(matched, score, 0)


def _clipped_matches(corpus: Corpus, n: int) -> tuple[Ints, Ints]:
    """n-grams of each text found in the others, each up to its highest count in one; and all (count,)."""
    names, owners = corpus.ngrams(n)
    totals = np.bincount(owners, minlength=corpus.count)
    keys, counts = np.unique(names * corpus.count + owners, return_counts=True)
    names, owners = keys // corpus.count, keys % corpus.count
    order = np.lexsort((-counts, names))
    names, owners, counts = names[order], owners[order], counts[order]
    first = np.diff(names, prepend=-1) != 0  # the text that has most of this n-gram
    most = counts[first][np.cumsum(first) - 1]
    followed = first & ~np.r_[first[1:], True][: len(first)]  # by the text that has second most
    others = np.where(first, 0, most)
    others[followed] = counts[np.flatnonzero(followed) + 1]
    matches = np.zeros(corpus.count, np.int64)
    np.add.at(matches, owners, np.minimum(counts, others))
    return matches, totals


def _closest_others(lengths: Ints) -> Ints:
    """For each of two or more lengths the closest of the others, of two the shorter."""
    order = np.argsort(lengths, kind="stable")
    ranked = lengths[order].astype(np.float64)
    below: Floats = np.concatenate([[-np.inf], ranked[:-1]])
    above: Floats = np.concatenate([ranked[1:], [np.inf]])
    closest = np.empty(len(lengths), np.int64)
    closest[order] = np.where(ranked - below <= above - ranked, below, above)
    return closest
