"""The order of the data: a pure function of (seed, position), so that resuming needs one counter."""

import hashlib

import numpy as np
from numpy.typing import NDArray


class Order:
    """The infinite sequence of sample indices: one permutation of ``0 … count-1`` after the other.

    Epoch ``e`` is a pure function of (seed, e, count), so any stretch can be computed without those before
    it.

        >>> order = Order(count=4, seed=0)
        >>> bool((order.indices(2, 4) == order.indices(0, 6)[2:]).all())
        True
    """

    def __init__(self, count: int, seed: int):
        """Prepare the order of ``count`` ≥ 1 samples.

        Raises:
            ValueError: ``count`` is below 1.
        """
        if count < 1:
            raise ValueError(f"an order needs at least one sample, not {count}")
        self.count = count
        self.seed = seed
        self._recent: dict[int, NDArray[np.int64]] = {}

    def indices(self, start: int, length: int) -> NDArray[np.int64]:
        """Return the sample indices at positions ``start … start+length-1``, int64 (length,).

        Raises:
            ValueError: ``start`` or ``length`` is negative.
        """
        if start < 0 or length < 0:
            raise ValueError(f"start and length must not be negative, got {start} and {length}")
        result = np.empty(length, np.int64)
        filled = 0
        while filled < length:
            epoch, offset = divmod(start + filled, self.count)
            piece = self.epoch(epoch)[offset : offset + length - filled]
            result[filled : filled + len(piece)] = piece
            filled += len(piece)
        return result

    def epoch(self, epoch: int) -> NDArray[np.int64]:
        """Return the permutation of epoch ``epoch``, int64 (count,), read-only."""
        if epoch not in self._recent:
            for old in list(self._recent)[:-1]:  # a batch spans two epochs at most, mostly
                del self._recent[old]
            self._recent[epoch] = self._permutation(epoch)
        return self._recent[epoch]

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        generator = generator_for("order", self.seed, epoch, self.count)
        # Sorting random keys, not Generator.permutation: numpy may change the algorithms of its
        # distributions from release to release, but never the raw stream of a bit generator.
        permutation = np.argsort(generator.random_raw(self.count), kind="stable").astype(np.int64)
        permutation.setflags(write=False)
        return permutation


def holdout_split(count: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split ``0 … count-1`` into (train, held-out) indices: int64, sorted, a pure function of the arguments.

    Held out are ``round(count * fraction)`` samples, but at least 1 and at most 1,000; none of a fraction of 0, and
    none below 20 samples, where every one is needed.

    Raises:
        ValueError: ``fraction`` is not within 0 … 1 (excluding 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"the held-out fraction must be at least 0 and below 1, not {fraction}")
    size = max(1, min(1000, round(count * fraction))) if fraction and count >= 20 else 0
    keys = generator_for("holdout", seed, count).random_raw(count)
    order = np.argsort(keys, kind="stable").astype(np.int64)
    return np.sort(order[size:]), np.sort(order[:size])


def spread(indices: NDArray[np.int64], most: int | None) -> NDArray[np.int64]:
    """At most ``most`` of the indices (None: all), one drawn from each of as many equal stretches.

    So they come from everywhere, whatever the order: evenly spaced ones would be of one class where classes take turns.
    """
    count = len(indices)
    size = count if most is None else min(most, count)
    edges = np.arange(size + 1) * count // max(size, 1)
    drawn = generator_for("spread", count, size).random_raw(size) % np.diff(edges).astype(np.uint64)
    return indices[edges[:-1] + drawn.astype(np.int64)]


def generator_for(*key: object) -> np.random.PCG64:
    """Return a bit generator seeded by a hash of ``key``: unlike keys give unrelated streams."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.PCG64(int.from_bytes(digest[:16], "little"))
