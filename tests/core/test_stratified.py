"""A split that holds out the same share of every class."""

import numpy as np
import pytest

from luoxia.core.order import holdout_split
from luoxia.core.stratified import stratified_split


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.37])
def test_every_class_gives_its_share(fraction: float) -> None:
    rng = np.random.default_rng()
    labels = rng.choice(4, 500, p=[0.5, 0.3, 0.15, 0.05])
    train, heldout = stratified_split(labels, fraction, seed=3)
    assert sorted([*train, *heldout]) == list(range(500))
    assert len(heldout) == len(holdout_split(500, fraction, 3)[1])
    for label in range(4):
        wanted = len(heldout) * (labels == label).mean()
        assert abs((labels[heldout] == label).sum() - wanted) < 2


def test_it_is_a_function_of_its_arguments() -> None:
    labels = np.arange(60) % 3
    once, again, other = (stratified_split(labels, 0.2, seed)[1] for seed in (1, 1, 2))
    assert (once == again).all() and (once != other).any()


def test_the_only_sample_of_a_class_is_learned_from() -> None:
    train, heldout = stratified_split(np.array([0] * 30 + [1, 2]), 0.5, seed=0)
    assert {30, 31} <= set(train)
    assert len(heldout) == 16
    assert len(stratified_split(np.zeros(10, np.int64), 0.5, 0)[1]) == 0, "too few to spare any"
    assert len(stratified_split(np.arange(100), 0.5, 0)[1]) == 0, "one of each"
    assert len(stratified_split(np.zeros(100, np.int64), 0, 0)[1]) == 0
