"""Two sides of images: one size for both, crops out of larger images, and batches that are a function of the step."""

import numpy as np
import pytest
import torch

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.media.image.batches import CropBatches
from luoxia.media.image.unpaired import open_unpaired
from luoxia.training.distributed import World
from luoxia.training.objective import Phase
from pictures import encode, noise, write

WORLD = World(0, 1, torch.device("cpu"))
PHASE = Phase("generators", lambda batch, rng: {}, "generators")


def folder(path, count, height, width, mode="RGB", seed=0):
    for i in range(count):
        write(path / f"{i:02}.png", encode(noise(height, width, mode, seed=seed + i)))
    return path


def test_images_that_have_one_size_keep_their_pixels(tmp_path):
    a, b = folder(tmp_path / "a", 3, 24, 20), folder(tmp_path / "b", 5, 24, 20, seed=9)
    dataset = open_unpaired(a, b)
    assert dataset.spec.shape == (3, 24, 20) and dataset.load == (24, 20)
    assert (len(dataset), len(dataset.a), len(dataset.b)) == (5, 3, 5)
    assert np.array_equal(dataset.b.images[2], np.asarray(noise(24, 20, seed=11)))
    assert np.array_equal(dataset.centered("b").images, dataset.b.images)


def test_other_images_are_loaded_larger_than_the_crops_as_published(tmp_path):
    a, b = folder(tmp_path / "a", 3, 300, 290), folder(tmp_path / "b", 2, 256, 256)
    dataset = open_unpaired(a, b, size=(256, 256))
    assert dataset.load == (286, 286) and dataset.spec.shape == (3, 256, 256)
    center = dataset.centered("a")
    assert np.array_equal(center.images[1], dataset.a.images[1, 15:271, 15:271])
    assert center.spec.shape == (3, 256, 256) and center.fingerprint != dataset.a.fingerprint
    exact = open_unpaired(a, b, size=(32, 48), load=(40, 48))
    assert exact.load == (40, 48) and exact.spec.shape == (3, 32, 48)


def test_both_sides_get_one_size_and_the_channels_that_either_needs(tmp_path):
    gray, color = folder(tmp_path / "gray", 2, 40, 64, "L"), folder(tmp_path / "color", 2, 100, 90)
    dataset = open_unpaired(gray, color)
    assert dataset.spec.shape == (3, 40, 64), "the smaller of both defaults"
    assert dataset.a.images.shape[1:] == dataset.b.images.shape[1:] == (45, 72, 3)
    assert open_unpaired(gray, gray).spec.channels == 1


def test_the_fingerprint_is_of_both_sides_and_of_the_crop(tmp_path):
    a, b = folder(tmp_path / "a", 2, 24, 24), folder(tmp_path / "b", 2, 24, 24, seed=5)
    prints = [open_unpaired(*given).fingerprint for given in ((a, b), (b, a), (a, b, (16, 16)), (a, b))]
    cut = open_unpaired(a, b, (16, 16), load=(24, 24))
    assert prints[0] == prints[3] and len({*prints, cut.fingerprint}) == 4


def test_bad_files_are_named_with_their_side(tmp_path):
    a, b = folder(tmp_path / "a", 2, 24, 24), folder(tmp_path / "b", 2, 24, 24)
    write(b / "broken.png", b"no image")
    (skip,) = open_unpaired(a, b).skipped
    assert skip.name == "B: broken.png"
    with pytest.raises(UsageError, match="nothing at"):
        open_unpaired(a, tmp_path / "c")
    with pytest.raises(UsageError, match=r"load_size=20 is smaller than size=24"):
        open_unpaired(a, b, load=(20, 20))
    write(tmp_path / "d" / "x.png", b"no image")
    with pytest.raises(LuoxiaError, match="can be used"):
        open_unpaired(a, tmp_path / "d")


# ---------------------------------------------------------------------- batches


def crops(dataset, batch=4, mirror=True, world=WORLD, seed=3):
    size = (dataset.spec.height, dataset.spec.width)
    return CropBatches(dataset.a, np.arange(len(dataset.a)), batch, seed, world, size=size, mirror=mirror)


@pytest.fixture
def larger(tmp_path):
    a = folder(tmp_path / "a", 6, 14, 13)
    return open_unpaired(a, a, size=(8, 10), load=(14, 13))


def places(dataset, images):
    """(image, top, left, mirrored) of each crop, found by comparing it to all."""
    pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    found = []
    for crop in pixels:
        hits = [
            (i, top, left, mirrored)
            for i in range(len(dataset.a))
            for top in range(7)
            for left in range(4)
            for mirrored in (False, True)
            if np.array_equal(
                dataset.a.images[i, top : top + 8, left : left + 10][:, :: -1 if mirrored else 1], crop
            )
        ]
        assert len(hits) == 1
        found += hits
    return found


def test_crops_are_parts_of_the_images_at_every_place_and_half_of_them_mirrored(larger):
    batches = crops(larger)
    found = [place for index in range(60) for place in places(larger, batches(PHASE, index).samples)]
    numbers, tops, lefts, mirrored = zip(*found, strict=True)
    assert set(tops) == set(range(7)) and set(lefts) == set(range(4))
    assert 80 < sum(mirrored) < 160, "of 240"
    assert all(numbers.count(i) == 40 for i in range(6)), "every image once before any comes again"
    still = [
        place
        for index in range(6)
        for place in places(larger, crops(larger, mirror=False)(PHASE, index).samples)
    ]
    assert not any(mirrored for *_, mirrored in still)


def test_a_batch_is_a_function_of_seed_index_and_rank(larger):
    one, other = crops(larger), crops(larger)
    later = one(PHASE, 7).samples
    one(PHASE, 2)
    assert torch.equal(one(PHASE, 7).samples, other(PHASE, 7).samples) and torch.equal(
        one(PHASE, 7).samples, later
    )
    assert not torch.equal(later, crops(larger, seed=4)(PHASE, 7).samples)
    ranks = [
        crops(larger, batch=3, world=World(rank, 2, torch.device("cpu")))(PHASE, 0).samples for rank in (0, 1)
    ]
    numbers = [place[0] for images in ranks for place in places(larger, images)]
    assert sorted(numbers) == list(range(6)), "two ranks share an epoch"


def test_what_is_observed_is_cut_out_of_the_middle(larger):
    assert [place[1:] for place in places(larger, crops(larger).gather(np.array([4, 1])).samples)] == [
        (3, 1, False)
    ] * 2
