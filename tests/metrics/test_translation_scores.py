"""BLEU and chrF against sacreBLEU's own corpus scores, over fresh random sentences."""

import sys

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError, MissingExtraError, UsageError
from luoxia.metrics.translation import (
    bleu_counts,
    bleu_score,
    chrf_counts,
    chrf_score,
    measure_translation,
    tokenizer_for,
)

sacrebleu = pytest.importorskip("sacrebleu")

LINE = "the a man woman dog runs, sits. on in park's street with red blue-green (and) 3.5 Äpfel été"
WORDS = LINE.split()


@pytest.fixture
def pairs():
    """Sentences of 1 to 60 words and translations with some words lost, swapped or wrong."""
    rng = np.random.default_rng()
    references = [" ".join(rng.choice(WORDS, rng.integers(1, 60))) for _ in range(80)]
    hypotheses = [
        " ".join(
            rng.choice(WORDS) if rng.random() < 0.2 else word for word in line.split() if rng.random() < 0.9
        )
        for line in references
    ]
    return hypotheses, references


def by_name(scores):
    return {score.name: score for score in scores}


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
def test_bleu_is_sacrebleus(pairs, tokenize):
    metric = sacrebleu.BLEU(tokenize=tokenize)
    expected = metric.corpus_score(pairs[0], [pairs[1]]).score
    found = by_name(measure_translation(*pairs, tokenize=tokenize, draws=20))["BLEU"]
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert bleu_score(bleu_counts(*pairs, tokenize).sum(0)) == pytest.approx(expected, rel=1e-12)
    assert found.signature["sacrebleu"] == str(metric.get_signature())
    assert f"tok:{tokenize}" in found.signature["sacrebleu"]


def test_chrf_is_sacrebleus(pairs):
    hypotheses, references = ["", "a b", *pairs[0]], ["short one", "c", *pairs[1]]
    metric = sacrebleu.CHRF()
    expected = metric.corpus_score(hypotheses, [references]).score
    assert chrf_score(chrf_counts(hypotheses, references).sum(0)) == pytest.approx(expected, rel=1e-12)
    found = by_name(measure_translation(hypotheses, references, draws=20))["chrF"]
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.signature["sacrebleu"] == str(metric.get_signature())
    assert chrf_score(chrf_counts(["xyz"], ["abc"]).sum(0)) == 0


def test_intervals_agree_with_sacrebleus_bootstrap(pairs):
    found = by_name(measure_translation(*pairs))
    for name, metric in (("BLEU", sacrebleu.BLEU()), ("chrF", sacrebleu.CHRF())):
        paired = metric.corpus_score(*[pairs[0], [pairs[1]]], n_bootstrap=1000)
        half = (found[name].high - found[name].low) / 2
        assert half == pytest.approx(paired._ci, rel=0.25)
        assert found[name].low < found[name].value < found[name].high


def test_buckets_hold_every_sentence_by_its_length(pairs):
    found = measure_translation(*pairs, draws=20)
    buckets = {score.name: score for score in found if score.name.startswith("BLEU of")}
    assert sum(score.signature["sentences"] for score in buckets.values()) == len(pairs[0])
    metric = sacrebleu.BLEU()
    inside = [i for i, line in enumerate(pairs[1]) if 10 < metric.sentence_score("x", [line]).ref_len <= 20]
    expected = metric.corpus_score([pairs[0][i] for i in inside], [[pairs[1][i] for i in inside]]).score
    assert buckets["BLEU of 11–20 tokens"].value == pytest.approx(expected, rel=1e-12)
    assert buckets["BLEU of 11–20 tokens"].signature["sentences"] == len(inside)


def test_the_tokenizer_follows_language_and_script():
    assert [tokenizer_for([], code) for code in ("zh", "zh-TW", "ZH_cn", "de", "ja", "th")] == [
        "zh",
        "zh",
        "zh",
        "13a",
        "char",
        "char",
    ]
    assert tokenizer_for(["落霞与孤鹜齐飞, OK", "秋水共长天一色"]) == "zh"
    assert tokenizer_for(["これは日本語の文章です"]) == "char"
    assert tokenizer_for(["Ein Mann 在 einem grünen Raum"]) == "13a"
    found = by_name(measure_translation(["落霞与鹜齐飞"], ["落霞与孤鹜齐飞"], draws=5))
    assert "tok:zh" in found["BLEU"].signature["sacrebleu"] and found["BLEU"].value > 30


def test_perfect_and_empty_translations(pairs):
    same = by_name(measure_translation(pairs[1], pairs[1], draws=20))
    assert same["BLEU"].value == pytest.approx(100) and same["chrF"].value == pytest.approx(100)
    none = by_name(measure_translation([""] * 80, pairs[1], draws=20))
    assert none["BLEU"].value == 0 and none["chrF"].value == 0 and none["empty"].value == 1
    some = by_name(measure_translation(["", " ", *pairs[0][2:]], pairs[1], draws=20))
    assert some["empty"].value >= 2 / 80 and some["BLEU"].value < same["BLEU"].value


def test_bad_input_is_named(pairs, monkeypatch):
    with pytest.raises(LuoxiaError, match="79 translations do not pair with 80 references"):
        measure_translation(pairs[0][1:], pairs[1])
    with pytest.raises(LuoxiaError, match="no translations"):
        measure_translation([], [])
    with pytest.raises(LuoxiaError, match="reference 1 is empty"):
        measure_translation(["a", "b"], ["a", " "])
    with pytest.raises(LuoxiaError, match="single text"):
        measure_translation("abc", "abc")
    with pytest.raises(UsageError, match="choose from 13a"):
        measure_translation(*pairs, tokenize="spm")
    monkeypatch.setitem(sys.modules, "MeCab", None)
    with pytest.raises(UsageError, match=r"sacrebleu\[ja\]"):
        measure_translation(*pairs, tokenize="ja-mecab")
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match=r"luoxia\[text\]"):
        measure_translation(*pairs)


def test_different_references_do_not_compare(pairs):
    one = measure_translation(*pairs, draws=5)[0]
    two = measure_translation(pairs[0], pairs[1][::-1], draws=5)[0]
    with pytest.raises(LuoxiaError, match="differ in references"):
        one.compare(two)
    assert one == measure_translation(*pairs, draws=5)[0]
