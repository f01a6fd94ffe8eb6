"""γ of R1 and R2 as training goes on."""

import math

import pytest
import torch

from luoxia.media.image.images import ImageSpec
from luoxia.tasks.image_generation.recipes.gan import DCGAN
from luoxia.training.objective import Batch, Rng


def test_gamma_goes_from_one_value_to_the_other():
    recipe = DCGAN(
        width=2, latent=3, penalty="r1+r2", penalty_every=1, gamma="0.4..0.1", schedule={"samples": 1000}
    )
    objective = recipe.build(ImageSpec(8, 8, 1, 0))
    batch = Batch(torch.rand(4, 1, 8, 8) * 2 - 1)
    found = {}
    for seen in (0, 250, 1000, 5000):
        objective.advance(seen)
        losses = objective.discriminator_losses(batch, Rng(0))
        gamma = 0.1 + 0.3 * (1 + math.cos(math.pi * min(1.0, seen / 1000))) / 2
        found[seen] = [losses[name].item() / gamma for name in ("r1", "r2")]
        assert objective.statistics["gamma"].item() == pytest.approx(gamma)
    for seen, values in found.items():
        assert values == pytest.approx(found[0], rel=1e-4), (
            f"after {seen} images the penalty is not γ times its rest"
        )
    assert min(found[0]) > 0
