"""G's update through the images that D has just seen."""

import copy

import pytest
import torch

from luoxia.data import ImageSpec
from luoxia.objectives.base import Batch, Rng
from luoxia.recipes.gan import DCGAN, GAN

SPEC = ImageSpec(8, 8, 1, 0)


def objective(fresh_latents=False, recipe=GAN, **settings):
    torch.manual_seed(0)
    return recipe(width=4, latent=6, fresh_latents=fresh_latents, **settings).build(SPEC)


def real(n=16):
    return Batch(torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1)


def total(losses):
    return sum(losses.values())


@pytest.mark.parametrize("loss", ["nonsaturating", "relativistic"])
def test_the_gradient_is_that_of_the_same_latents_under_the_new_discriminator(loss):
    ours = objective(loss=loss)
    generator, discriminator = (copy.deepcopy(ours.networks[name]) for name in ("generator", "discriminator"))
    batch = real()
    total(ours.discriminator_losses(batch, Rng(2))).backward()
    assert all(p.grad is None for p in ours.networks["generator"].parameters())
    with torch.no_grad():
        for mine, theirs in zip(
            ours.networks["discriminator"].parameters(), discriminator.parameters(), strict=True
        ):
            mine -= 0.1 * mine.grad
            theirs.copy_(mine)
    total(ours.generator_losses(None, Rng(3))).backward()
    fake = discriminator(generator(Rng(2).normal(16, 6)))
    with torch.no_grad():
        seen = discriminator(batch.images)
    ours.loss.generator(seen, fake).backward()
    for mine, theirs in zip(ours.networks["generator"].parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_only_a_shared_pass_leaves_the_generator_without_a_batch():
    for fresh in (True, False):
        phases = {phase.name: phase for phase in objective(fresh).phases()}
        assert phases["generator"].batched is fresh
        assert phases["discriminator"].traces == (() if fresh else ("generator",))


def test_nothing_is_shared_when_gradients_are_accumulated():
    assert objective(accumulate=2).fresh_latents


def test_the_generator_runs_once_a_step():
    ours = objective(recipe=DCGAN)
    seen = ours.networks["generator"].activate[0].num_batches_tracked
    total(ours.discriminator_losses(real(), Rng(2))).backward()
    total(ours.generator_losses(None, Rng(3))).backward()
    assert seen.item() == 1
