import numpy as np
import pytest

from luoxia.core.order import Order, holdout_split


def test_each_epoch_is_a_permutation_and_unlike_the_others() -> None:
    order = Order(100, seed=3)
    epochs = [order.indices(100 * epoch, 100) for epoch in range(4)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(100))
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize(("start", "length"), [(0, 1), (5, 7), (6, 1), (3, 50), (1_000_003, 20), (4, 0)])
def test_any_stretch_is_a_slice_of_one_sequence(start: int, length: int) -> None:
    single = [int(Order(7, seed=1).indices(position, 1)[0]) for position in range(start, start + length)]
    assert Order(7, seed=1).indices(start, length).tolist() == single


def test_order_keeps_no_state() -> None:
    order = Order(50, seed=0)
    first = order.indices(120, 80).copy()
    order.indices(0, 10)
    order.indices(5_000, 10)
    assert (order.indices(120, 80) == first).all()


def test_seed_and_count_change_the_order() -> None:
    assert Order(50, 0).indices(0, 50).tolist() != Order(50, 1).indices(0, 50).tolist()
    assert Order(51, 0).indices(0, 50).tolist() != Order(50, 0).indices(0, 50).tolist()


def test_the_order_is_pinned() -> None:  # a run resumed years later must see the same order
    assert Order(8, seed=0).indices(0, 10).tolist() == [4, 2, 7, 3, 1, 5, 0, 6, 6, 3]


def test_writing_into_a_batch_leaves_the_order_alone() -> None:
    order = Order(8, seed=0)
    batch = order.indices(0, 8)
    batch[:] = 0
    assert sorted(order.indices(0, 8)) == list(range(8))


@pytest.mark.parametrize("count", [0, -1])
def test_an_order_needs_samples(count: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Order(count, 0)


@pytest.mark.parametrize(
    ("count", "fraction", "expected"),
    [(19, 0.5, 0), (20, 0.1, 2), (20, 0.001, 1), (100, 0, 0), (100, 0.05, 5), (60_000, 0.1, 1000)],
)
def test_holdout_split(count: int, fraction: float, expected: int) -> None:
    train, heldout = holdout_split(count, fraction, seed=5)
    assert len(heldout) == expected
    assert train.dtype == heldout.dtype == np.int64
    assert sorted([*train, *heldout]) == list(range(count))
    assert (np.diff(train) > 0).all()
    assert (np.diff(heldout) > 0).all()
    again = holdout_split(count, fraction, seed=5)
    assert (again[0] == train).all()
    if 0 < expected < count / 2 and count > 50:
        assert holdout_split(count, fraction, seed=6)[1].tolist() != heldout.tolist()


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_holdout_fraction_is_checked(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction"):
        holdout_split(100, fraction, 0)
