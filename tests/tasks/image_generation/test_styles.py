"""Controls of a generator with styles: truncation, mixing, noise; one image is one function of its seed and number."""

import numpy as np
import pytest
import torch

from luoxia.core.errors import UsageError
from luoxia.media.image.values import to_uint8
from luoxia.provenance.label import Label
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.image_generation.networks import dcgan, stylegan2
from luoxia.tasks.image_generation.styles import layers_of
from pairs import a_generator


@pytest.fixture(scope="module")
def styled():
    torch.manual_seed(3)
    network = a_generator(stylegan2, 5, (3, 16, 16), 4, max_channels=8, styles=6, mapping_layers=2, classes=2)
    with torch.no_grad():
        network.mean_w.normal_()
        for name, parameter in network.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.5)
    return ImageGenerator(network, classes=("a", "b"), details=Label())


@pytest.mark.parametrize(
    "controls", [{}, {"truncation": 0.6, "mix": 9, "noise": "random"}, {"noise": "none"}]
)
def test_an_image_is_the_same_in_any_number(styled, controls):
    many = styled.sample(67, seed=4, **controls)
    for n in (1, 5):
        assert np.array_equal(styled.sample(n, seed=4, **controls), many[:n])
    assert len({image.tobytes() for image in many}) == 67
    assert not np.array_equal(styled.sample(5, seed=5, **controls), many[:5])


def test_truncation_pulls_w_towards_its_mean(styled):
    network, labels = styled.network, styled.labels(4)
    z = styled.latents(4, 1)
    w = network.map(z, labels)
    expected = network.synthesize(network.mean_w + 0.3 * (w - network.mean_w))
    found = styled.sample(4, seed=1, truncation=0.3).astype(int)
    assert np.abs(found - to_uint8(expected).numpy()).max() <= 1
    spread = [styled.sample(32, seed=1, truncation=t, label="a").std(0).mean() for t in (0.05, 0.5, 1.0)]
    assert spread[0] < spread[1] < spread[2]


def test_two_seeds_mix_by_layers(styled):
    one, other = styled.sample(3, seed=1, label=0), styled.sample(3, seed=2, label=0)
    layers = styled.network.layers
    assert np.array_equal(styled.sample(3, seed=1, label=0, mix=2, mix_layers=f"0-{layers - 1}"), other)
    assert np.array_equal(styled.sample(3, seed=1, label=0, mix=1), one)
    w, second = (styled.network.map(styled.latents(3, seed), torch.zeros(3).long()) for seed in (1, 2))
    for asked, chosen in (
        ("2-4", [2, 3, 4]),
        ("4-", list(range(4, layers))),
        ("-1", [0, 1]),
        (None, range(layers // 2, layers)),
    ):
        mixed = w.clone()
        mixed[:, list(chosen)] = second[:, list(chosen)]
        found = styled.sample(3, seed=1, label=0, mix=2, mix_layers=asked).astype(int)
        assert np.abs(found - to_uint8(styled.network.synthesize(mixed)).numpy()).max() <= 1


def test_noise_is_constant_random_or_none(styled):
    pictures = {
        kind: styled.sample(4, seed=1, noise=kind).astype(int) for kind in ("const", "random", "none")
    }
    assert np.array_equal(pictures["const"], styled.sample(4, seed=1))
    assert np.abs(pictures["const"] - pictures["random"]).max() > 3
    assert np.abs(pictures["const"] - pictures["none"]).max() > 3
    expected = styled.network.synthesize(styled.network.map(styled.latents(4, 1), styled.labels(4)), "none")
    assert np.abs(pictures["none"] - to_uint8(expected).numpy()).max() <= 1


def test_a_walk_obeys_the_controls_too(styled):
    plain = styled.interpolate(2, 3, seed=1, label="a", truncation=0.5)
    assert np.array_equal(plain[::3], styled.sample(2, seed=1, label="a", truncation=0.5))
    assert not np.array_equal(
        styled.interpolate(2, 3, seed=1, label="a", truncation=0.5, noise="none"), plain
    )


@pytest.mark.parametrize("asked", ["6-", "3-2", "a", "-", "", "0-6", "1,2", "9"])
def test_layers_that_are_not_there(asked):
    with pytest.raises(
        UsageError,
        match=rf"mix_layers={asked}: must be coarse, middle, fine, or such as 4-7, 4-, -3 or 5, of the layers 0 to 5",
    ):
        layers_of(asked, 6)


def test_what_other_generators_lack():
    plain = ImageGenerator(a_generator(dcgan, 4, (1, 8, 8), 4), classes=(), details=Label())
    for controls in ({"mix": 1}, {"noise": "none"}):
        with pytest.raises(UsageError, match=r"needs a model with styles"):
            plain.sample(2, **controls)
    assert plain.sample(2, truncation=0.5).shape == (2, 8, 8, 1)


def test_controls_that_cannot_be(styled):
    with pytest.raises(UsageError, match=r"mix_layers=2 needs mix=SEED"):
        styled.sample(2, mix_layers="2")
    with pytest.raises(UsageError, match=r"noise=loud: must be one of const, random or none"):
        styled.sample(2, noise="loud")
