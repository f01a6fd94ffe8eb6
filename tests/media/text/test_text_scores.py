"""The measurement of generated texts, on the text that Python carries."""

import json
import random
from collections import Counter, defaultdict
from pydoc_data.topics import topics

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.media.text.scores import excerpts, is_text, measure_texts
from luoxia.metrics import twosample
from luoxia.metrics.twosample import (
    STRENGTH,
    character_features,
    jensen_shannon,
    logistic_regression,
    told_apart,
    trigram_divergence,
)

LENGTH = 120


@pytest.fixture(scope="module")
def real():
    """Pieces of Python's manual, shuffled: 800 to train on, 150 held out, 150 to pass for generated."""
    text = "\n".join(topics[key] for key in sorted(topics))
    pieces = [text[i : i + LENGTH] for i in range(0, len(text) - LENGTH, LENGTH)]
    random.Random(0).shuffle(pieces)
    return pieces[:800], pieces[800:950], pieces[950:1100]


def chain(pieces, count, seed=0):
    """Texts of a Markov chain of order 2 over characters."""
    following = defaultdict(list)
    for piece in pieces:
        for i in range(len(piece) - 2):
            following[piece[i : i + 2]].append(piece[i + 2])
    rng, found = random.Random(seed), []
    for _ in range(count):
        text = rng.choice(pieces)[:2]
        while len(text) < LENGTH:
            text += rng.choice(following.get(text[-2:]) or [" "])
        found.append(text)
    return found


def by_name(scores):
    return {score.name: score for score in scores}


def test_real_texts_score_about_their_floors(real):
    training, heldout, fake = real
    found = by_name(measure_texts(fake, training, heldout))
    assert found["two-sample accuracy"].value == pytest.approx(0.5, abs=0.1)
    for name in ("trigram divergence", "distinct-1", "distinct-2", "distinct-3", "known words"):
        assert found[name].value == pytest.approx(found[name].reference, rel=0.1), name
    for name in ("repetition", "self-BLEU", "overlap"):
        assert found[name].value == pytest.approx(found[name].reference, rel=0.5, abs=0.05), name
    assert found["valid text"].value == 1
    assert {score.heading for score in found.values()} == {"authenticity", "plausibility", "creativity"}
    for score in found.values():
        assert score.low is None or score.low <= score.value <= score.high, score.name


def test_a_markov_chain_is_told_from_text(real):
    training, heldout, _ = real
    found = by_name(measure_texts(chain(training, 150), training, heldout))
    assert found["two-sample accuracy"].low > 0.7
    assert found["two-sample accuracy"].reference == pytest.approx(0.5, abs=0.1)
    assert found["known words"].high < found["known words"].reference
    assert found["overlap"].value < found["overlap"].reference and found["copied"].value < 0.05


def test_trigrams_tell_shuffled_text_and_not_a_chain_that_keeps_them(real):
    training, heldout, fake = real
    floor = trigram_divergence(fake, heldout).value
    shuffled = ["".join(random.Random(i).sample(text, LENGTH)) for i, text in enumerate(fake)]
    assert trigram_divergence(shuffled, heldout).low > 2 * floor
    assert trigram_divergence(chain(training, 150), heldout).value == pytest.approx(floor, rel=0.2)


def test_copies_repeats_and_broken_bytes_are_seen(real):
    training, heldout, _ = real
    copies = by_name(measure_texts(training[:100], training, heldout))
    assert copies["copied"].value == 1 and copies["overlap"].value == LENGTH
    assert copies["longest overlap"].value == LENGTH
    poem, line = "落霞與孤鶩齊飛秋水共長天一色。", "落霞與孤鶩齊飛秋水共長天一色，"
    poems = by_name(measure_texts([poem, "甲"], [line, "新詩"], ["雲", "雨"], whole=True))
    assert poems["copied"].value == 0.5  # all of it but a mark, short as it is
    assert copies["copied"].reference < 0.3
    repeats = by_name(measure_texts(["the king is dead " * 7] * 100, training, heldout))
    assert repeats["self-BLEU"].value == pytest.approx(1)
    assert repeats["repetition"].value > 0.8
    assert repeats["distinct-2"].value < repeats["distinct-2"].reference / 10
    broken = by_name(measure_texts([text + "\ufffd" for text in heldout[:60]], training, heldout))
    assert broken["valid text"].value == 0 and broken["valid text"].reference == 1


def test_measuring_twice_gives_the_same_json(real):
    training, heldout, fake = real
    one, two = (
        json.dumps([score.as_dict() for score in measure_texts(fake, training, heldout, limit=40)])
        for _ in range(2)
    )
    assert one == two
    other = measure_texts(fake, training, heldout, limit=40, seed=1)[0]
    with pytest.raises(LuoxiaError, match="differ in seed"):
        other.compare(measure_texts(fake, training, heldout, limit=40)[0])


def test_long_text_is_cut_and_whole_texts_are_not(real):
    training, heldout, fake = real
    cut = measure_texts(fake[:20], "\n".join(training), "\n".join(heldout))[0].signature
    assert cut["texts"].startswith("cut") and cut["heldout"] == 20
    whole = measure_texts(fake[:20], training, heldout)[0].signature
    assert whole["texts"] == "whole"


def test_excerpts_are_pieces_of_the_lengths_asked():
    text = " ".join(f"w{i}" for i in range(3000))
    lengths = [30, 70, 100]
    found = excerpts([text], lengths, 50, seed=3)
    assert [len(piece) for piece in found] == [lengths[i % 3] for i in range(50)]
    starts = [text.index(piece) for piece in found]
    assert all(text[start - 1] == " " or start == 0 for start in starts)
    order = np.argsort(starts)
    ends = np.add(starts, [len(piece) for piece in found])
    assert (np.array(starts)[order][1:] >= ends[order][:-1]).all()
    assert sorted(excerpts(["b", "", " ", "a"], None, 9)) == ["a", "b"]
    assert excerpts(["short"], [10], 5) == []


def test_few_and_odd_texts_do_not_crash():
    training, heldout = ["七言绝句", "落霞与孤鹜"], ["秋水共长天", "一色"]
    for fake in (["", "落"], ["!", "?"], ["a" * 500, "b"]):
        found = by_name(measure_texts(fake, training, heldout, whole=True))
        assert "two-sample accuracy" not in found  # too few to learn from
        assert all(np.isfinite(score.value) for score in found.values())


def test_bad_input_is_named():
    cases = [
        ((["a"], ["b"], ["c", "d"]), "two generated texts"),
        ((["", " "], ["b"], ["c", "d"]), "every generated text is empty"),
        ((["a", "b"], [""], ["c", "d"]), "training text is empty"),
        ((["a", "b"], ["c", "d"], []), "held-out text gives fewer"),
        ((["a" * 90, "b" * 90], ["c" * 300] * 9, ["d" * 100]), "held-out text gives fewer"),
    ]
    for sides, message in cases:
        with pytest.raises(LuoxiaError, match=message):
            measure_texts(*sides)


def test_is_text():
    assert is_text("落霞\tOK\r\n") and is_text("")
    assert not any(is_text(bad) for bad in ("\ufffd", "a\x00", "\ud800", "\x1b[0m"))
    assert not is_text(b"\xe8\x90".decode(errors="replace"))


def test_logistic_regression_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng()
    x = rng.normal(size=(120, 30)) / 5
    labels = (x @ rng.normal(size=30) + rng.normal(0, 0.5, 120) > 0.3).astype(float)
    weights, bias = logistic_regression(x, labels)
    expected = linear_model.LogisticRegression(C=STRENGTH, tol=1e-8, max_iter=2000).fit(x, labels)
    np.testing.assert_allclose(weights, expected.coef_[0], atol=2e-3)
    assert bias == pytest.approx(float(expected.intercept_[0]), abs=2e-3)


def test_the_classifier_answers_as_scikit_learns_on_each_fold(real):
    linear_model = pytest.importorskip("sklearn.linear_model")
    fake, truth = chain(real[0], 60), real[1][:60]
    right = told_apart(fake, truth, seed=4)
    features = character_features([*fake, *truth])
    labels = np.repeat([1, 0], 60)
    folds, rng = np.empty(120, int), np.random.default_rng(4)
    for label in (1, 0):
        rows = rng.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(60) % 5
    expected = np.empty(120, bool)
    for fold in range(5):
        model = linear_model.LogisticRegression(C=STRENGTH, tol=1e-6, max_iter=2000)
        model.fit(features[folds != fold], labels[folds != fold])
        expected[folds == fold] = model.predict(features[folds == fold]) == labels[folds == fold]
    assert (right != expected).sum() <= 1


def test_character_features_are_shares_by_counting():
    texts = ["abab", "ba", "", "abcabcab"]
    found = character_features(texts)
    grams = [
        [Counter(text[i : i + n] for i in range(len(text) - n + 1)) for n in range(1, 6)] for text in texts
    ]
    shares = [{g: c / row.total() for row in rows for g, c in row.items()} for rows in grams]
    kinds = {gram for row in shares for gram in row}
    expected = sorted(tuple(round(row.get(gram, 0), 9) for row in shares) for gram in kinds)
    assert sorted(tuple(column) for column in (found[:, :-6] ** 2).T.round(9)) == expected
    assert (found[:, -6:-1] == 0).all()  # no n-gram was left out
    lengths = np.log1p([len(text) for text in texts])
    np.testing.assert_allclose(found[:, -1], 0.3 * (lengths - lengths.mean()) / lengths.std())


def test_uncommon_ngrams_are_summed_for_each_order(monkeypatch):
    monkeypatch.setattr(twosample, "KEPT", 1)
    found = character_features(["ab", "acc", "a"])
    np.testing.assert_allclose(found[:, 0] ** 2, [1 / 2, 1 / 3, 1])  # a, which all of them have
    for column, rest in zip(found.T[1:6], ([1 / 2, 2 / 3, 0], [1, 1, 0], [0, 1, 0]), strict=False):
        np.testing.assert_allclose(column, 0.3 * (rest - np.mean(rest)) / np.std(rest))


def test_jensen_shannon_is_scipys():
    from scipy.spatial.distance import jensenshannon

    p, q = np.random.default_rng().integers(0, 9, (2, 50))
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2)
    assert jensen_shannon([1, 0], [0, 1]) == 1 and jensen_shannon([0, 0], [1, 1]) == 0
    assert trigram_divergence(["abcd"], ["abcd"]).value == pytest.approx(0, abs=1e-12)
    assert trigram_divergence(["a", "b"], ["abc"]).value == 0
