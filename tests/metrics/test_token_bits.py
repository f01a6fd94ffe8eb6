"""Bits of tokens under histograms, against their definition."""

import numpy as np

from luoxia.metrics.token_bits import histogram_bits, placewise_bits


def test_a_uniform_source_costs_the_logarithm_of_its_vocabulary():
    tokens = np.random.default_rng(0).integers(0, 8, (4000, 6, 2))
    assert abs(histogram_bits(tokens[:2000], tokens[2000:], 8) - 3 * 12) < 0.1
    assert abs(placewise_bits(tokens[:2000], tokens[2000:], 8) - 3 * 12) < 0.1


def test_a_histogram_by_hand():
    train, heldout = np.array([[[0], [0], [1]]]), np.array([[[0], [1], [2]]])
    shares = np.array([3, 2, 1, 1]) / 7
    assert np.isclose(histogram_bits(train, heldout, 4), -np.log2(shares[[0, 1, 2]]).sum())


def test_places_help_where_each_has_a_token_of_its_own():
    places = np.broadcast_to(np.arange(4)[:, None], (50, 4, 1))
    assert placewise_bits(places, places[:9], 4) < 0.5 < 7.9 < histogram_bits(places, places[:9], 4)


def test_a_token_that_was_never_seen_costs_something_finite():
    assert np.isfinite(placewise_bits(np.zeros((3, 2, 1), int), np.full((1, 2, 1), 9), 10))
