"""Settings of ``dcgan`` that follow from the data where they were not given."""

import pytest

from luoxia.media.image.images import ImageSpec
from luoxia.tasks.image_generation.recipes.gan import DCGAN


class Mine(DCGAN):
    """A recipe of one's own, with a rate of its own."""

    lr: float = 4e-3


@pytest.mark.parametrize(
    ("shape", "settings", "gamma"),
    [
        ((28, 28, 1), {}, 0.098),
        ((32, 32, 3), {}, 0.93),
        ((64, 64, 3), {"penalty": "r1+r2"}, 9.2),
        ((32, 32, 3), {"penalty": "gp"}, 10.0),
        ((32, 32, 3), {"gamma": 3.0}, 3.0),
    ],
)
def test_gamma_of_dcgan_follows_the_size_of_the_images(shape, settings, gamma):
    recipe = DCGAN(width=2, latent=3, **settings)
    (_, penalty), *_ = recipe.build(ImageSpec(*shape, 0)).penalties
    assert penalty.weight == gamma and recipe.gamma == settings.get("gamma")


def test_larger_images_are_learned_at_a_lower_rate_unless_one_is_given():
    assert DCGAN().settled(ImageSpec(28, 28, 1, 0))["lr"] == 2.5e-3
    assert DCGAN().settled(ImageSpec(32, 32, 3, 0))["lr"] == 1e-3
    assert "lr" not in DCGAN(lr=4e-3).settled(ImageSpec(64, 64, 3, 0))
    assert "lr" not in Mine().settled(ImageSpec(64, 64, 3, 0))
