"""n-gram metrics against Counters, and self-BLEU against sacreBLEU, over fresh random texts."""

from collections import Counter

import numpy as np
import pytest

from luoxia.metrics.ngrams import Corpus, bleu_among_others, distinct, repetition, self_bleu, tokenize
from luoxia.metrics.resampling import bootstrap, jackknife


def random_texts(rng, count=25, words=9, longest=30):
    return [[f"w{i}" for i in rng.zipf(1.4, rng.integers(0, longest)) % words] for _ in range(count)]


@pytest.fixture
def texts():
    return random_texts(np.random.default_rng())


def grams(text, n):
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]


def test_one_tokenization_for_words_and_characters():
    assert tokenize("Don't stop, O’Neill! x_1") == ["don't", "stop", ",", "o’neill", "!", "x_1"]
    assert tokenize("abc落霞。日本のdef") == ["abc", "落", "霞", "。", "日", "本", "の", "def"]
    assert tokenize(" \n\t") == []


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_names_are_equal_where_the_ngrams_are(texts, n):
    names, owners = Corpus.of(texts).ngrams(n)
    expected = [(gram, index) for index, text in enumerate(texts) for gram in grams(text, n)]
    assert owners.tolist() == [index for _, index in expected]
    pairs = set(zip(names.tolist(), [gram for gram, _ in expected], strict=True))
    assert len(pairs) == len(set(names.tolist())) == len({gram for gram, _ in expected})


@pytest.mark.parametrize("n", [1, 2, 3])
def test_distinct_counts_ngrams_over_tokens(texts, n):
    found = distinct(Corpus.of(texts), n)
    expected = len({gram for text in texts for gram in grams(text, n)}) / sum(map(len, texts))
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high
    assert distinct(Corpus.of([[], []]), n).value == 0


def test_repetition_by_counting(texts):
    found = repetition(Corpus.of(texts), 4)
    for text, value in zip(texts, found, strict=True):
        if len(text) < 4:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(1 - len(set(grams(text, 4))) / (len(text) - 3))
    assert repetition(Corpus.of([["a"] * 13]), 4)[0] == pytest.approx(0.9)


def test_self_bleu_is_sacrebleus_sentence_bleu(texts):
    sacrebleu = pytest.importorskip("sacrebleu")
    metric = sacrebleu.BLEU(tokenize="none", smooth_method="floor", smooth_value=0.1, effective_order=True)
    lines = [" ".join(text) for text in texts]
    expected = [
        metric.sentence_score(line, lines[:i] + lines[i + 1 :]).score / 100 for i, line in enumerate(lines)
    ]
    np.testing.assert_allclose(bleu_among_others(Corpus.of(texts)), expected, rtol=1e-9, atol=1e-12)


def test_self_bleu_by_counters(texts):
    """The definition written out: clipped to the highest count in one other text, closest length."""
    found = bleu_among_others(Corpus.of(texts))
    for index, text in enumerate(texts):
        others = texts[:index] + texts[index + 1 :]
        logs, matched = [], False
        for n in range(1, 5):
            ours, theirs = Counter(grams(text, n)), Counter()
            for other in others:
                theirs |= Counter(grams(other, n))
            if ours:
                matches = (ours & theirs).total()
                matched |= matches > 0
                logs.append(np.log((matches or 0.1) / ours.total()))
        closest = min((abs(len(o) - len(text)), len(o)) for o in others)[1]
        brevity = np.exp(min(0, 1 - closest / len(text))) if text else 0
        assert found[index] == pytest.approx(brevity * np.exp(np.mean(logs)) if matched else 0, abs=1e-12)


def test_self_bleu_of_copies_and_of_strangers():
    assert self_bleu(Corpus.of([list("abcdefg")] * 9)).value == pytest.approx(1)
    strangers = [[f"{i}{k}" for k in range(8)] for i in range(9)]
    assert self_bleu(Corpus.of(strangers)).value == 0
    assert self_bleu(Corpus.of([["a"], []])).low is None


def test_parts_of_a_corpus(texts):
    corpus = Corpus.of(texts)
    kept = np.array([1, 4, 5, 20])
    part, fresh = corpus.select(kept), Corpus.of([texts[index] for index in kept])
    for n in (1, 2, 3):
        assert distinct(part, n).value == distinct(fresh, n).value
    np.testing.assert_array_equal(bleu_among_others(part), bleu_among_others(fresh))
    first = corpus.first(17)
    assert len(first.tokens) == 17 and first.lengths.sum() == 17


@pytest.mark.parametrize("statistic", [lambda c: distinct(c, 2), self_bleu])
def test_intervals_are_as_wide_as_fresh_texts_vary(statistic):
    rng = np.random.default_rng(11)
    found = [statistic(Corpus.of(random_texts(rng, 40, 60))) for _ in range(80)]
    spread = np.std([estimate.value for estimate in found])
    width = np.mean([(e.high - e.low) / 2 / 2.09 for e in found])  # Student's quantile for 19 degrees
    assert 0.75 * spread < width < 1.6 * spread


def test_bootstrap_and_jackknife_of_a_mean_are_the_standard_error():
    values = np.random.default_rng().uniform(size=400)
    error = values.std(ddof=1) / 20
    drawn = bootstrap(lambda rows: values[rows].mean(1), 400)
    left = jackknife(lambda items: float(values[items].mean()), 400, groups=400)
    for found, quantile in ((drawn, 1.96), (left, 1.966)):
        assert found.value == pytest.approx(values.mean())
        assert (found.high - found.low) / 2 == pytest.approx(quantile * error, rel=0.15)
    assert bootstrap(lambda rows: values[rows].mean(1), 1).low is None
    assert jackknife(lambda items: 0.5, 1).low is None
