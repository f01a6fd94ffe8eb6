"""Retrieval against a loop, over fresh random values."""

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.metrics import similarity
from luoxia.metrics.similarity import measure_retrieval, retrieval_ranks


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


def test_bad_input_is_named():
    rows = np.random.default_rng().normal(size=(4, 3))
    for bad, message in (
        ((rows, rows[:3]), "queries are"),
        ((rows[:1], rows[:1]), "two pairs"),
        ((rows * np.inf, rows), "not finite"),
        ((rows, rows * 0), "answers is zero"),
    ):
        with pytest.raises(LuoxiaError, match=message):
            measure_retrieval(*bad)
