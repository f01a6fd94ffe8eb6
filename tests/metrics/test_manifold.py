"""Precision, recall, density, coverage, neighbors and classes, against loops and scikit-learn."""

from collections import Counter

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from luoxia.core.errors import LuoxiaError
from luoxia.metrics import classes, intervals
from luoxia.metrics import neighbors as neighbors
from luoxia.metrics.manifold import manifold, radii


@pytest.fixture
def sets():
    rng = np.random.default_rng()
    return rng.normal(0.5, 1, size=(40, 5)), rng.normal(size=(50, 5))


def loop_radius(points, i, k):
    return sorted(np.linalg.norm(points[i] - q) for j, q in enumerate(points) if j != i)[k - 1]


def test_manifold_equals_loops(sets):
    fake, real = sets
    near = [loop_radius(real, j, 3) for j in range(50)]
    far = [loop_radius(real, j, 5) for j in range(50)]
    own = [loop_radius(fake, i, 3) for i in range(40)]
    d = np.array([[np.linalg.norm(f - r) for r in real] for f in fake])
    found = manifold(fake, real)
    assert found.precision.tolist() == [any(d[i, j] <= near[j] for j in range(50)) for i in range(40)]
    assert found.recall.tolist() == [any(d[i, j] <= own[i] for i in range(40)) for j in range(50)]
    assert found.density.tolist() == [sum(d[i, j] <= far[j] for j in range(50)) / 5 for i in range(40)]
    assert found.coverage.tolist() == [any(d[i, j] <= far[j] for i in range(40)) for j in range(50)]


def test_chunks_do_not_matter(sets, monkeypatch):
    whole = manifold(*sets)
    monkeypatch.setattr(neighbors, "CHUNK_ELEMENTS", 120)
    for one, other in zip(whole, manifold(*sets), strict=True):
        np.testing.assert_array_equal(one, other)


def test_degenerate_sets():
    same = manifold(np.ones((6, 3)), np.ones((7, 3)))
    assert same.precision.all() and same.recall.all() and same.coverage.all()
    two = manifold(np.zeros((2, 3)), np.ones((2, 3)))
    assert not two.precision.any() and not two.coverage.any()
    assert radii(np.array([[0.0], [1.0]]), 3).tolist() == [1, 1]
    with pytest.raises(LuoxiaError, match="two samples"):
        manifold(np.ones((1, 3)), np.ones((5, 3)))


def test_identical_sets_are_perfect(sets):
    found = manifold(sets[1], sets[1])
    assert found.precision.all() and found.recall.all() and found.coverage.all()


def test_nearest_equals_scikit_learn(sets):
    fake, real = sets
    expected, where = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(real).kneighbors(fake)
    distances, indices = neighbors.nearest(fake, real, 4)
    np.testing.assert_allclose(distances, expected, rtol=1e-10)
    np.testing.assert_array_equal(indices, where)
    others, _ = neighbors.nearest_others(real, 2)
    np.testing.assert_allclose(others, NearestNeighbors().fit(real).kneighbors(n_neighbors=2)[0])
    with pytest.raises(LuoxiaError, match="give more"):
        neighbors.nearest(fake, real[:3], 4)


def test_threshold_catches_copies_and_spares_the_rest(sets):
    fake, real = sets
    limit = neighbors.threshold(neighbors.nearest_others(real)[0], real)
    assert neighbors.duplicates(np.concatenate([fake, fake[:3]]), limit).sum() >= 6
    copies = neighbors.nearest((real + 1e4).astype(np.float32), (real + 1e4).astype(np.float32))[0][:, 0]
    assert neighbors.memorized(copies, limit).all()


def test_classes():
    counts = classes.histogram([0, 0, 2, 2, 2], 4)
    assert counts.tolist() == [2, 0, 3, 0]
    assert classes.covered(counts) == 2
    assert classes.covered([999, 1], at_least=0) == 2, "any sample at all"
    assert classes.covered([999, 1]) == 1
    assert classes.divergence([100, 100], [100, 100]) == 0
    assert classes.divergence([200, 0], [10**6, 10**6]) == pytest.approx(np.log(2), rel=1e-4)
    estimate = classes.divergence_interval([60, 40], [50, 50])
    assert estimate.low <= estimate.value <= estimate.high
    assert classes.confidence([[0.2, 0.8], [0.5, 0.5]]).tolist() == [0.8, 0.5]


def test_intervals():
    low, high = intervals.share([True] * 8 + [False] * 2)[1:]
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Wilson's for 8 of 10
    assert intervals.share([False] * 10).low == 0
    assert intervals.mean([1.0]).low is None
    assert intervals.mean([1.0, 3.0]).value == 2


def test_modes_of_several_parts_against_counting():
    """StackedMNIST's two figures: modes seen at all, and the relative entropy to the modes of real stacks."""
    rng = np.random.default_rng()
    digits = rng.choice(10, (4000, 3), p=rng.dirichlet([2] * 10))
    counts = classes.histogram(digits @ [100, 10, 1], 1000)
    told = Counter(100 * a + 10 * b + c for a, b, c in digits.tolist())
    assert {mode: int(count) for mode, count in enumerate(counts) if count} == told
    assert classes.covered(counts, at_least=0) == len(told)
    real = 10**6 * rng.dirichlet([5] * 1000)
    expected = sum(n / 4000 * np.log(n / 4000 / (real[mode] / 10**6)) for mode, n in told.items())
    assert classes.divergence(counts, real) == pytest.approx(expected, rel=0.02)
