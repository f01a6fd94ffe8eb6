"""Reconstructions and what simple codecs reach; how a book is used."""

import numpy as np
import pytest

from luoxia.metrics import tokens
from luoxia.metrics.reconstruction import PrincipalCodec, allot, bits_of, lloyd, nearest_rows, psnr


def low_rank(n, rank=3, size=(6, 5), seed=0):
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(rank, size[0] * size[1])) * np.array([30.0, 10.0, 3.0])[:rank, None]
    rows = np.random.default_rng(seed).normal(size=(n, rank)) @ basis
    return (rows + 100).reshape(n, *size)


def test_decibels_by_hand():
    real = np.zeros((2, 2, 2, 1), np.uint8)
    made = real.copy()
    made[0] = 51  # a fifth of 255
    assert psnr(made, real) == pytest.approx([20 * np.log10(5), 100.0])


def test_bits_go_to_the_largest_variance():
    assert allot(np.array([16.0, 4.0, 1.0]), 3).tolist() == [2, 1, 0]
    assert allot(np.array([1.0, 1.0]), 4).tolist() == [2, 2]
    assert allot(np.array([1e9, 1.0]), 9).tolist() == [8, 1], "no component has levels without end"


def test_levels_are_the_means_of_what_falls_to_them():
    values = np.array([0.0, 0.1, 0.2, 5.0, 5.2])
    assert lloyd(values, 2) == pytest.approx([0.1, 5.1])
    assert lloyd(values, 1) == pytest.approx([values.mean()])


@pytest.mark.parametrize("n", [20, 400])  # fewer rows than numbers in each, and more
def test_principal_components_get_better_with_bits(n):
    train, unseen = low_rank(n), low_rank(50, seed=1)
    reached = [psnr(PrincipalCodec(train, bits)(unseen), unseen).mean() for bits in (2, 6, 12)]
    assert reached[0] < reached[1] < reached[2]
    assert reached[2] > reached[0] + 8


def test_many_bits_bring_back_what_has_few_components():
    train = low_rank(400)
    assert psnr(PrincipalCodec(train, 24)(train), train).mean() > 35


def test_the_nearest_row():
    train = np.array([[0.0, 0], [10, 10]])
    assert nearest_rows(train, np.array([[1.0, 2], [9, 4]])).tolist() == [[0, 0], [10, 10]]


def test_bits_of_tokens():
    assert [bits_of(64, 1024), bits_of(64, 1000), bits_of(5, 1)] == [640, 637, 0]


def test_use_and_perplexity():
    drawn = np.array([[0, 0, 1], [1, 3, 3]])
    assert tokens.book_use(drawn, 6) == 0.5
    assert tokens.perplexity(drawn, 6) == pytest.approx(3.0)
    assert tokens.perplexity(np.zeros(9, np.int64), 6) == pytest.approx(1.0)


def test_what_uniform_draws_reach():
    rng = np.random.default_rng(0)
    by_chance = np.mean([tokens.book_use(rng.integers(50, size=80), 50) for _ in range(300)])
    assert tokens.uniform_use(80, 50) == pytest.approx(by_chance, abs=0.01)
    assert 40 < tokens.uniform_perplexity(500, 50, 0) < 50
