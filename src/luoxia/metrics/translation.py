"""Translations against references: BLEU and chrF by sacreBLEU, with its signatures.

BLEU is Papineni et al. 2002 as sacreBLEU computes it (Post 2018, arXiv:1804.08771): text goes in as people
read it, detokenized and cased. chrF is Popović 2015. An empty hypothesis counts as one that matches nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from luoxia.core.errors import LANGUAGE, LuoxiaError, MissingExtraError, UsageError
from luoxia.metrics.intervals import Estimate, share
from luoxia.metrics.ngrams import HAN, SPACELESS
from luoxia.metrics.resampling import DRAWS, Indices, bootstrap
from luoxia.metrics.score import HIGHER, LOWER, Score

if TYPE_CHECKING:
    from sacrebleu import BLEU

TOKENIZERS = ("13a", "intl", "zh", "char", "none", "ja-mecab", "ko-mecab")  # those that need no download
BY_LANGUAGE = {"zh": "zh", "ja": "char", "th": "char", "lo": "char", "km": "char", "my": "char"}
LENGTHS = (10, 20, 30, 50)  # reference tokens up to which a bucket reaches
CHARACTERS = 6  # chrF's longest n-gram
BETA = 2  # chrF's weight of recall
BLEU_MEANING = HIGHER("Words and phrases shared with a person's translation, 0 to 100.")
CHRF_MEANING = HIGHER("Characters and their sequences shared with a person's translation, 0 to 100.")
EMPTY = LOWER("Share of translations without a word.")
REPEATED = LOWER(
    "Share of translations that stand for other sentences, too, which a person translates otherwise."
)

Counts = NDArray[np.int64]


def measure_translation(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    target: str = "",
    tokenize: str | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> list[Score]:
    """Score translations (n) against one reference each (n): BLEU, chrF, BLEU by length, empty and repeated ones.

    Args:
        hypotheses: the system's translations, detokenized.
        references: a person's, in the same order.
        target: language translated into, such as "de" or "zh-TW"; it chooses BLEU's tokenizer.
        tokenize: that tokenizer, of ``TOKENIZERS``; without either the references' script chooses it.
        seed, draws: of the bootstrap over sentences.

    Raises:
        LuoxiaError: no sentences, as many of one as not of the other, or an empty reference.
        UsageError: an unknown tokenizer, or one that is not installed; MissingExtraError: no sacreBLEU.
    """
    _check(hypotheses, references)
    name = tokenizer_for(references, target) if tokenize is None else tokenize
    rows, chrf_rows = bleu_counts(hypotheses, references, name), chrf_counts(hypotheses, references)
    (bleu, bleu_signature), (chrf, chrf_signature) = _sacrebleu(hypotheses, references, name)
    shared: dict[str, str | int | float] = {
        "references": _digest(references),
        "of": len(references),
        "seed": seed,
        "draws": draws,
    }

    def score(name: str, value: Estimate, sacrebleu: str, sentences: int = len(references)) -> Score:
        signature = {"sacrebleu": sacrebleu, "sentences": sentences, **shared}
        meaning = CHRF_MEANING if name == "chrF" else BLEU_MEANING
        return Score(name, *value, None, "authenticity", signature, *meaning)

    def interval(rows: Counts, value: Callable[[Counts], float]) -> Estimate:
        return bootstrap(lambda drawn: _each(rows, drawn, value), len(rows), draws=draws, seed=seed)

    return [
        score("BLEU", interval(rows, bleu_score)._replace(value=bleu), bleu_signature),
        score("chrF", interval(chrf_rows, chrf_score)._replace(value=chrf), chrf_signature),
        *(
            score(f"BLEU of {bounds} tokens", interval(rows[chosen], bleu_score), bleu_signature, len(chosen))
            for bounds, chosen in _buckets(rows[:, 1])
        ),
        _empty(hypotheses),
        _repeated(hypotheses, references),
    ]


def _empty(hypotheses: Sequence[str]) -> Score:
    """Score the share of empty translations."""
    empty = share([not hypothesis.strip() for hypothesis in hypotheses])
    return Score("empty", *empty, 0.0, "plausibility", {"sentences": len(hypotheses)}, *EMPTY)


def _repeated(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Score the share of translations that other sentences got as well, which are not one sentence to a person."""
    known: dict[str, set[str]] = {}
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        known.setdefault(hypothesis.strip(), set()).add(reference.strip())
    repeated = share([len(known[hypothesis.strip()]) > 1 for hypothesis in hypotheses])
    return Score("repeated", *repeated, 0.0, "creativity", {"sentences": len(hypotheses)}, *REPEATED)


def tokenizer_for(references: Sequence[str], target: str = "") -> str:
    """Return BLEU's tokenizer for a language, or where that is not given, for the script of the references.

    Chinese is "zh", which parts Han characters; scripts without spaces that it does not know are "char";
    everything else is sacreBLEU's default, "13a".
    """
    if target:
        return BY_LANGUAGE.get(target.lower().replace("_", "-").split("-")[0], "13a")
    text = "".join(references[:1000])
    letters = sum(map(str.isalpha, text))
    han, spaceless = (len(re.findall(f"[{script}]", text)) for script in (HAN, SPACELESS))
    if 2 * (han + spaceless) <= letters:
        return "13a"
    return "zh" if 10 * spaceless < han else "char"


def bleu_counts(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = "13a") -> Counts:
    """Tokens of hypothesis and reference, matches of 1- to 4-grams and how many there are → (n, 10)."""
    metric = _bleu(tokenize, effective_order=True)  # whose counts are the same, without a warning for each
    found = [metric.sentence_score(h, [r]) for h, r in zip(hypotheses, references, strict=True)]
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in found], np.int64)


def bleu_score(totals: Counts) -> float:
    """BLEU, 0 to 100, of summed ``bleu_counts`` (10,), smoothed as sacreBLEU's default."""
    from sacrebleu import BLEU

    sums = [int(x) for x in totals]
    return BLEU.compute_bleu(sums[2:6], sums[6:], sums[0], sums[1], smooth_method="exp").score


def chrf_counts(hypotheses: Sequence[str], references: Sequence[str]) -> Counts:
    """Character n-grams of hypothesis, of reference and of both, for n to 6 without spaces → (n, 18)."""
    return np.array([_chrf_row(h, r) for h, r in zip(hypotheses, references, strict=True)], np.int64)


def _chrf_row(hypothesis: str, reference: str) -> list[int]:
    row = []
    for n in range(1, CHARACTERS + 1):
        ours, theirs = _grams(hypothesis, n), _grams(reference, n)
        # an order that the reference is too short for does not count against the hypothesis
        row += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
    return row


def _grams(line: str, n: int) -> Counter[str]:
    text = "".join(line.split())
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf_score(totals: Counts) -> float:
    """chrF2, 0 to 100, of summed ``chrf_counts`` (18,): F of mean precision and mean recall."""
    ours, theirs, both = np.asarray(totals, np.float64).reshape(CHARACTERS, 3).T
    orders = (ours > 0) & (theirs > 0)
    if not orders.any():
        return 0.0
    precision = float((both[orders] / ours[orders]).mean())
    recall = float((both[orders] / theirs[orders]).mean())
    below = BETA**2 * precision + recall
    return 100 * (1 + BETA**2) * precision * recall / below if below else 0.0


def _sacrebleu(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str
) -> list[tuple[float, str]]:
    """Corpus BLEU and chrF with their signatures."""
    from sacrebleu import CHRF

    found = []
    for metric in (_bleu(tokenize), CHRF(char_order=CHARACTERS, beta=BETA)):
        value = metric.corpus_score(list(hypotheses), [list(references)]).score
        found.append((float(value), str(metric.get_signature())))
    return found


def _bleu(tokenize: str, *, effective_order: bool = False) -> BLEU:
    if tokenize not in TOKENIZERS:
        raise UsageError(f"tokenize is {tokenize!r}, which is unknown; choose from {', '.join(TOKENIZERS)}")
    try:
        from sacrebleu import BLEU
    except ImportError as error:
        raise MissingExtraError("BLEU", LANGUAGE) from error
    try:
        return BLEU(tokenize=tokenize, effective_order=effective_order)
    except (ImportError, RuntimeError) as error:  # which of the two depends on sacreBLEU's version
        raise UsageError(
            f"tokenize={tokenize} needs pip install 'sacrebleu[{tokenize[:2]}]': or choose tokenize=char"
        ) from error


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise LuoxiaError("a single text was given where a list of sentences is needed: split it into lines")
    if len(hypotheses) != len(references):
        raise LuoxiaError(
            f"{len(hypotheses)} translations do not pair with {len(references)} references: "
            "give one line for each"
        )
    if not references:
        raise LuoxiaError("there are no translations to measure: give at least one pair")
    for index, (hypothesis, reference) in enumerate(zip(hypotheses, references, strict=True)):
        if not isinstance(hypothesis, str) or not isinstance(reference, str):
            raise LuoxiaError(f"pair {index} is not two texts: give strings")
        if not reference.strip():
            raise LuoxiaError(f"reference {index} is empty, so nothing can match it: leave this pair out")


def _digest(lines: Sequence[str]) -> str:
    """Sixteen hexadecimal digits of SHA-256 over the lines."""
    return hashlib.sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest()[:16]


def _each(rows: Counts, drawn: Indices, value: Callable[[Counts], float]) -> list[float]:
    """Corpus value of each draw (r, n) of sentences: sums of their counts, then the value."""
    return [value(np.bincount(draw, minlength=len(rows)) @ rows) for draw in drawn]


def _buckets(lengths: Counts) -> Iterator[tuple[str, Indices]]:
    """Name and sentences of each range of reference lengths (n,) that has any."""
    edges = [0, *LENGTHS]
    for low, high in zip(edges, [*LENGTHS, None], strict=True):
        inside = (lengths > low) & (lengths <= (high or lengths.max()))
        if inside.any():
            yield f"{low + 1}–{high}" if high else f"more than {low}", np.flatnonzero(inside)
