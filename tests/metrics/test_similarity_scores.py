"""Correlations and retrieval against scipy and a loop, over fresh random values."""

import numpy as np
import pytest
import scipy.stats

from luoxia.core.errors import LuoxiaError
from luoxia.metrics import similarity
from luoxia.metrics.similarity import measure_retrieval, measure_similarity, retrieval_ranks


@pytest.fixture
def scores():
    """Cosines, and people's scores from 0 to 5 with many ties."""
    rng = np.random.default_rng()
    cosines = rng.uniform(-1, 1, 200)
    return cosines, np.clip(np.round(2.5 + 2 * cosines + rng.normal(0, 1, 200)), 0, 5)


def test_correlations_are_scipys(scores):
    rank, linear = measure_similarity(*scores)
    assert rank.value == pytest.approx(scipy.stats.spearmanr(*scores).statistic)
    assert linear.value == pytest.approx(scipy.stats.pearsonr(*scores).statistic)
    for score in (rank, linear):
        assert score.low < score.value < score.high and score.reference == 0
    assert measure_similarity(*scores) == [rank, linear]


@pytest.mark.parametrize("index", [0, 1])
def test_intervals_are_as_wide_as_fresh_pairs_vary(index):
    rng = np.random.default_rng(7)

    def draw():
        x = rng.normal(size=80)
        return measure_similarity(x, 0.6 * x + 0.8 * rng.normal(size=80), draws=200)[index]

    found = [draw() for _ in range(200)]
    spread = np.std([score.value for score in found])
    assert np.mean([(s.high - s.low) / 2 / 1.96 for s in found]) == pytest.approx(spread, rel=0.25)


def test_monotone_scores_correlate_perfectly_in_rank_alone():
    x = np.arange(1.0, 9)
    rank, linear = measure_similarity(np.exp(x), x)
    assert rank.value == pytest.approx(1) and linear.value < 0.9
    assert measure_similarity(x[:3], -x[:3])[0].low is None


def test_retrieval_by_a_loop(monkeypatch):
    rng = np.random.default_rng()
    queries = rng.normal(size=(40, 8))
    answers = queries + rng.normal(0, 0.8, (40, 8))
    expected = []
    for i, q in enumerate(queries):
        cosines = [float(q @ a / np.linalg.norm(q) / np.linalg.norm(a)) for a in answers]
        expected.append(1 + sum(c > cosines[i] for c in cosines))
    monkeypatch.setattr(similarity, "CHUNK_ELEMENTS", 7 * 40)  # some rows at a time, and a rest
    np.testing.assert_array_equal(retrieval_ranks(queries, answers), expected)
    first, reciprocal = measure_retrieval(queries, answers)
    assert first.value == pytest.approx(np.mean([rank == 1 for rank in expected]))
    assert reciprocal.value == pytest.approx(np.mean([1 / rank for rank in expected]))
    assert first.reference == 1 / 40
    assert reciprocal.reference == pytest.approx(sum(1 / i for i in range(1, 41)) / 40)


def test_equal_embeddings_earn_what_chance_does():
    same = np.ones((300, 4), np.float32)
    first, reciprocal = measure_retrieval(same, same)
    assert first.low <= first.reference <= first.high
    assert reciprocal.low <= reciprocal.reference <= reciprocal.high
    perfect, _ = measure_retrieval(np.eye(9), 3 * np.eye(9))
    assert perfect.value == 1


def test_bad_input_is_named(scores):
    x, y = scores
    for bad, message in (
        ((x[1:], y), "199 predictions do not pair"),
        ((x[:2], y[:2]), "three finite predicted"),
        ((np.full(200, np.nan), y), "three finite predicted"),
        ((x, np.ones(200)), "all gold scores are 1"),
    ):
        with pytest.raises(LuoxiaError, match=message):
            measure_similarity(*bad)
    rows = np.random.default_rng().normal(size=(4, 3))
    for bad, message in (
        ((rows, rows[:3]), "queries are"),
        ((rows[:1], rows[:1]), "two pairs"),
        ((rows * np.inf, rows), "not finite"),
        ((rows, rows * 0), "answers is zero"),
    ):
        with pytest.raises(LuoxiaError, match=message):
            measure_retrieval(*bad)
