"""G's update through the images that D has just seen, and through D's own pass of them."""

import copy

import pytest
import torch

from luoxia.media.image.images import ImageSpec
from luoxia.tasks.image_generation.recipes.gan import DCGAN, GAN
from luoxia.training.objective import Batch, Rng

SPEC = ImageSpec(8, 8, 1, 0)


def objective(g_update="shared", recipe=GAN, **settings):
    torch.manual_seed(0)
    return recipe(width=4, latent=6, g_update=g_update, **settings).build(SPEC)


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
        seen = discriminator(batch.samples)
    ours.loss.generator(seen, fake).backward()
    for mine, theirs in zip(ours.networks["generator"].parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_only_a_shared_pass_leaves_the_generator_without_a_batch():
    for g_update in ("fresh", "shared", "joint"):
        phases = {phase.name: phase for phase in objective(g_update).phases()}
        fresh = g_update == "fresh"
        assert phases["generator"].batched is fresh
        assert phases["discriminator"].traces == (() if fresh else ("generator",))


def test_nothing_is_shared_when_gradients_are_accumulated():
    assert objective(accumulate=2).g_update == "fresh"


@pytest.mark.parametrize("recipe", [GAN, DCGAN])
@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("minimax", {}),
        ("nonsaturating", {"penalty": "r1", "penalty_every": 1}),
        ("nonsaturating", {"penalty": "gp", "penalty_every": 1}),
        ("wasserstein", {}),
        ("relativistic", {"penalty": "r1+r2", "penalty_every": 1}),
    ],
)
def test_the_joint_gradient_is_that_under_the_old_discriminator(recipe, loss, settings):
    ours = objective("joint", recipe, loss=loss, **settings)
    for network in ours.networks.values():
        network.double()
    generator, discriminator = (copy.deepcopy(ours.networks[name]) for name in ("generator", "discriminator"))
    batch = Batch(real().samples.double())

    class Double(Rng):
        def normal(self, *shape):
            return super().normal(*shape).double()

    criticize = ours.critic
    ours.critic = lambda *given: criticize(given[0].double(), *given[1:]).double()
    total(ours.discriminator_losses(batch, Double(2))).backward()
    assert all(p.grad is None for p in ours.networks["generator"].parameters())
    with torch.no_grad():
        for parameter in ours.networks["discriminator"].parameters():
            parameter.add_(torch.randn_like(parameter))  # an update, of which nothing may be felt
    losses = ours.generator_losses(None, Rng(3))
    total(losses).backward()
    fake = discriminator(generator(Double(2).normal(16, ours.latent)))
    value = ours.loss.generator(discriminator(batch.samples).detach(), fake)
    value.backward()
    torch.testing.assert_close(losses["adversarial"], value.detach(), rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(ours.networks["generator"].parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-9)


def test_what_cannot_be_divided_is_shared():
    for loss in ("hinge", "lsgan"):
        assert objective("joint", loss=loss).g_update == "shared"
    mixing = DCGAN(width=4, penalty="none", d_norm="batch").build(ImageSpec(16, 16, 1, 0))
    assert mixing.has_batch_statistics and mixing.g_update == "shared"
    assert objective("joint").g_update == "joint"


@pytest.mark.parametrize("logit", [-300.0, 300.0])
def test_a_joint_update_survives_a_certain_discriminator(logit):
    ours = objective("joint")
    with torch.no_grad():
        ours.networks["discriminator"].critic.linear.bias.fill_(logit)
    total(ours.discriminator_losses(real(), Rng(2))).backward()
    total(ours.generator_losses(None, Rng(3))).backward()
    assert all(p.grad.isfinite().all() for p in ours.networks["generator"].parameters())


@pytest.mark.parametrize("g_update", ["shared", "joint"])
def test_the_generator_runs_once_a_step(g_update):
    ours = objective(g_update, recipe=DCGAN)
    seen = ours.networks["generator"].activate[0].num_batches_tracked
    total(ours.discriminator_losses(real(), Rng(2))).backward()
    total(ours.generator_losses(None, Rng(3))).backward()
    assert seen.item() == 1
