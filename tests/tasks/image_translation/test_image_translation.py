"""Translators of images: any size and form, and tiles that make what the whole image would have."""

import numpy as np
import pytest
import torch

from luoxia.core.errors import UsageError
from luoxia.provenance.label import Label
from luoxia.tasks.image_translation import tiles
from luoxia.tasks.image_translation.model import ImageTranslator
from luoxia.tasks.image_translation.networks.cyclegan import Generator, GeneratorConfig, ModuleGroup


def lively(channels=3, blocks=1):
    """A network whose result depends on its input."""
    torch.manual_seed(3)
    network = Generator(GeneratorConfig(channels=channels, width=4, blocks=blocks))
    for p in network.parameters():
        torch.nn.init.normal_(p, 0, 0.15)
    return network


def scene(height, width, seed=0):
    """Blobs, an edge and noise: unlike from place to place."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / rng.uniform(9, 40) + columns / rng.uniform(9, 40)) for _ in range(3)]
    image = np.stack(waves, 2) * 90 + 128 + 40 * (columns > width * 0.6)[..., None]
    return (image + rng.normal(0, 12, image.shape)).clip(0, 255).astype(np.uint8)


def translator(*directions, **settings):
    networks = ModuleGroup({direction: lively() for direction in directions or ("a2b", "b2a")})
    return ImageTranslator(networks, channels=3, details=Label(run="x"), **settings)


def test_every_form_and_size_comes_back_as_it_was():
    model = translator()
    one, other = scene(21, 34), scene(16, 9, seed=1)
    made = model.translate(one)
    assert made.shape == one.shape and made.dtype == np.uint8 and not np.array_equal(made, one)
    listed = model.translate([one, other], "b2a")
    assert [image.shape for image in listed] == [one.shape, other.shape]
    stacked = model.translate(np.stack([one] * 11))
    assert stacked.shape == (11, 21, 34, 3)
    assert np.abs(stacked.astype(int) - made).max() <= 1, "the others in a batch do not matter"
    assert np.abs(model.translate([one])[0].astype(int) - made).max() == 0
    assert model.translate(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 8, 8, 3)


def test_each_direction_is_a_network_of_its_own():
    model = translator()
    torch.nn.init.constant_(model.networks["b2a"].up[6].bias, 50.0)
    image = scene(12, 12)
    assert model.translate(image, "b2a").min() == 255 > model.translate(image, "a2b").min()


def test_what_cannot_be_translated_is_one_sentence():
    model = translator("a2b")
    with pytest.raises(UsageError, match=r"direction=b2a: this model translates a2b only.*cyclegan"):
        model.translate(scene(8, 8), "b2a")
    with pytest.raises(UsageError, match="direction=b2c: must be a2b"):
        model.translate(scene(8, 8), "b2c")
    with pytest.raises(UsageError, match=r"takes uint8 \(height, width, 3\)"):
        model.translate(scene(8, 8)[..., :1])
    with pytest.raises(UsageError, match="takes uint8"):
        model.translate(scene(8, 8).astype(np.float32))
    least = tiles.smallest_tile(model.network("a2b"))
    with pytest.raises(UsageError, match=rf"tile=64 is too small: this model needs {least}"):
        model.translate(scene(8, 8), tile=64)


@pytest.mark.parametrize("size", [(150, 203), (90, 301), (261, 131)])
def test_tiles_make_what_the_whole_would_have(size):
    network = lively()
    x = torch.from_numpy(scene(*size)).permute(2, 0, 1)[None].float() / 127.5 - 1
    side = tiles.smallest_tile(network)
    with torch.inference_mode():
        whole, made = network(x), tiles.translate_in_tiles(network, x, side, torch.device("cpu"))
        apart = network(x[:, :, :side, :side])[:, :, : side - 40, : side - 40]
    torch.testing.assert_close(made, whole, rtol=0, atol=2e-3)
    assert (apart - whole[:, :, : side - 40, : side - 40]).abs().mean() > 0.05, (
        "a tile alone makes another image"
    )


def test_weights_of_tiles_are_one_everywhere():
    for length, side in ((500, 152), (153, 152), (152, 152), (304, 152), (40, 152)):
        total = torch.zeros(length)
        for start, weights in tiles._windows(length, side, 40):
            assert start >= 0 and start + len(weights) <= length
            total[start : start + len(weights)] += weights
        torch.testing.assert_close(total, torch.ones(length))


def test_a_large_image_goes_by_tiles():
    model, image = translator(), scene(140, 150)
    whole = model.translate(image)
    side = tiles.smallest_tile(model.network("a2b"))
    assert side**2 < image.shape[0] * image.shape[1]
    sizes = []
    stem = model.network("a2b").stem[0]
    stem.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[2:]))
    tiled = model.translate(image, tile=side)
    assert sizes and max(h * w for h, w in sizes) <= side**2
    assert np.abs(tiled.astype(int) - whole).max() <= 1
