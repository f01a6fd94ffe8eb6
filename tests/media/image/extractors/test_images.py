import json

import numpy as np
import pytest

from luoxia.core.errors import LuoxiaError
from luoxia.media.image.neighbor_grid import neighbor_grid
from luoxia.media.image.reference import Reference
from luoxia.media.image.scores import measure_samples as measure


@pytest.fixture(scope="module")
def reference(small, extractor):
    images, labels = small
    return Reference(images[:800], extractor=extractor, labels=labels[:800])


def test_real_images_score_near_their_floors(reference, small):
    found = measure(reference, small[0][800:])
    for name in ("precision", "recall", "coverage", "density"):
        assert found[name].value == pytest.approx(found[name].reference, abs=0.2), name
    assert found["copy rate"].value < 0.05 and found["duplicates"].value < 0.1
    assert found["nn distance ratio"].value == pytest.approx(1, abs=0.3)
    assert found["classes"].value == 10
    assert found["FD-self"].value < 4 * found["FD-self"].reference
    assert {score.heading for score in found.scores} == {"authenticity", "plausibility", "creativity"}


def test_one_repeated_image_is_no_generator(reference, small):
    found = measure(reference, np.repeat(small[0][:1], 200, axis=0))
    assert found["recall"].value < 0.05 and found["coverage"].value < 0.2
    assert found["duplicates"].value == 1 and found["classes"].value == 1
    assert found["FD-self"].value > 10 * found["FD-self"].reference


def test_copies_of_the_training_set_are_memorized(reference, small):
    found = measure(reference, small[0][100:400])
    assert found["copy rate"].value == 1 and found["nn distance ratio"].value < 1e-3
    np.testing.assert_array_equal(found.neighbors.samples + 100, found.neighbors.training)


def test_noise_is_implausible(reference):
    noise = np.random.default_rng(0).integers(0, 256, (100, 14, 14, 1), dtype=np.uint8)
    found = measure(reference, noise)
    assert found["outliers"].value > 0.9 and found["precision"].value < 0.1


def test_measuring_twice_gives_the_same_json(small, extractor):
    images, labels = small
    settings = {"extractor": extractor, "labels": labels[:500], "heldout": images[500:800], "limit": 300}
    one, two = (measure(Reference(images[:500], **settings), images[800:]).as_dict() for _ in range(2))
    assert json.dumps(one) == json.dumps(two)
    assert all(score["signature"]["reals"] == 300 for score in one["scores"])


def test_every_training_image_is_searched_beyond_the_limit(small, pixels):
    images = small[0]
    found = measure(Reference(images, extractor=pixels, limit=100), images[:200])
    assert found["copy rate"].value == 1
    assert found["copy rate"].signature["searched"] == 1200
    few = measure(Reference(images, extractor=pixels, limit=100, search=100), images[:200])
    assert few["copy rate"].value < 0.5


def test_two_samples_do_not_crash(small, pixels):
    images = small[0]
    found = measure(Reference(images[2:4], extractor=pixels), images[:2])
    assert all(np.isfinite(score.value) for score in found.scores)
    assert "caveat" in found["FD-pixels"].signature
    constant = np.zeros((3, 14, 14, 1), np.uint8)
    assert all(np.isfinite(s.value) for s in measure(Reference(constant, extractor=pixels), constant).scores)
    for fake, real in ((images[:1], images), (images, images[:1])):
        with pytest.raises(LuoxiaError, match="needs two"):
            measure(Reference(real, extractor=pixels), fake)


def test_sizes_and_channels_may_differ(reference, small):
    larger = np.repeat(small[0][800:1000].repeat(2, axis=1).repeat(2, axis=2), 3, axis=3)
    found = measure(reference, larger)
    assert found["precision"].value > 0.4


def test_quick_scores_agree_with_the_full_measurement(reference, small):
    fake = small[0][900:]
    full = measure(reference, fake)
    for score in reference.quick(fake):
        assert full[score.name].compare(score) == 0


def test_the_name_follows_the_extractor(small, pixels):
    pixels.name = "inception"
    names = {s.name for s in measure(Reference(small[0][20:60], extractor=pixels), small[0][:20]).scores}
    assert {"FID", "KID"} <= names


def test_picture_shows_pairs():
    fake = np.full((2, 4, 4, 1), 10, np.uint8)
    real = np.full((3, 8, 8, 3), 200, np.uint8)
    picture = neighbor_grid(fake, real, [(0, 2), (1, 0), (1, 1)], columns=2, gap=1)
    assert picture.dtype == np.uint8 and picture.ndim == 3
    assert (picture[3:7, 3:7] == 10).all() and (picture[3:7, 8:12] == 200).all()
    assert (picture == 10).all(2).sum() == 3 * 16 and (picture == 200).all(2).sum() == 3 * 16
    assert neighbor_grid(fake, real, []).shape[2] == 3


def test_frechet_floor_is_what_fresh_real_images_score(pixels):
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (3000, 3, 4, 1), dtype=np.uint8)
    fresh = rng.integers(0, 256, (8, 1500, 3, 4, 1), dtype=np.uint8)
    reference = Reference(images, extractor=pixels)
    values = [reference.quick(draw)[0].value for draw in fresh]
    floors = [Reference(images, extractor=pixels, seed=s).frechet_floor(1500) for s in range(8)]
    assert np.mean(values) == pytest.approx(np.mean(floors), rel=0.35)
