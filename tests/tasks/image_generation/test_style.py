"""StyleGAN2's objective: path lengths against the whole Jacobian in float64, mixing, lazy phases, sizes by the data."""

import math
from collections import Counter

import pytest
import torch

from luoxia.adversarial.losses import LOSSES
from luoxia.core.errors import UsageError
from luoxia.media.image.images import ImageSpec
from luoxia.tasks.image_generation.networks import stylegan2
from luoxia.tasks.image_generation.recipes.r3gan import gamma_for
from luoxia.tasks.image_generation.recipes.stylegan2 import StyleGAN2
from luoxia.tasks.image_generation.style_objective import LENGTH_DECAY, Style, path_lengths
from luoxia.tasks.menu import find
from luoxia.training.distributed import World
from luoxia.training.objective import Batch, Rng
from luoxia.training.trainer import Trainer
from pairs import a_discriminator, a_generator

SHAPE = (2, 8, 8)
SIZES = {"width": 3, "max_channels": 4, "styles": 3}


class Double(Rng):
    def normal(self, *shape):
        return super().normal(*shape).double()

    def uniform(self, *shape):
        return super().uniform(*shape).double()


def objective(**settings):
    torch.manual_seed(torch.seed() % 2**31)
    generator = a_generator(stylegan2, 4, SHAPE, mapping_layers=1, **SIZES)
    discriminator = a_discriminator(stylegan2, SHAPE, group=2, **SIZES)
    return Style(generator, discriminator, LOSSES["nonsaturating"](), **settings)


def test_path_lengths_are_those_of_the_whole_jacobian():
    generator = objective().networks["generator"].double()
    w = generator.map(torch.randn(3, 4).double()).detach().requires_grad_()
    found = path_lengths(generator.synthesize(w, "none"), w, Double(7))
    y = Double(7).normal(3, *SHAPE) / 8  # √(8 · 8)
    for row, direction, length in zip(w, y, found, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda w: generator.synthesize(w[None], "none")[0], row)
        pulled = torch.einsum("chwld,chw->ld", jacobian, direction)
        assert length.item() == pytest.approx(math.sqrt((pulled**2).sum() / generator.layers), rel=1e-9)


def test_gradients_of_the_path_length_penalty_are_those_of_equation_4():
    """By differentiating the whole Jacobian, which no part of ours computes."""
    ours = objective(mixing=0.0, path_weight=3.0, path_every=5)
    generator = ours.networks["generator"].double()
    ours.state["path_length"] = torch.tensor(0.7, dtype=torch.float64)
    losses = ours.path_losses(Batch(torch.zeros(4, *SHAPE).double()), Double(3))
    parameters = dict(generator.named_parameters())
    found = torch.autograd.grad(losses["path_length"], list(parameters.values()), allow_unused=True)

    rng = Double(3)
    z, noise = rng.normal(2, 4), rng.normal(2, generator.noise_size)  # half of four
    y = rng.normal(2, *SHAPE) / 8
    total = 0
    for i in range(2):
        w = generator.map(z[i : i + 1])[0]
        jacobian = torch.autograd.functional.jacobian(
            lambda w, i=i: generator.synthesize(w[None], noise[i : i + 1])[0], w, create_graph=True
        )
        pulled = torch.einsum("chwld,chw->ld", jacobian, y[i])
        total = total + ((pulled.square().sum() / generator.layers).sqrt() - 0.7) ** 2 / 2
    expected = torch.autograd.grad(15 * total, list(parameters.values()), allow_unused=True)
    assert losses["path_length"].item() == pytest.approx(15 * total.item(), rel=1e-9)
    for name, a, b in zip(parameters, found, expected, strict=True):
        assert a is not None, f"{name}: DDP needs a gradient for it"
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b, rtol=1e-7, atol=1e-10)


def test_the_mean_length_follows_the_batches():
    ours = objective()
    before = ours.state["path_length"].clone()
    real = Batch(torch.zeros(8, *SHAPE))
    losses = ours.path_losses(real, Rng(1))
    images, w = ours._generated(4, None, rng := Rng(1), with_w=True)
    lengths = path_lengths(images, w, rng)
    assert before == 0 and ours.state["path_length"].item() == pytest.approx(
        LENGTH_DECAY * lengths.mean().item(), rel=1e-4
    )
    assert losses["path_length"].item() == pytest.approx(2 * 4 * lengths.square().mean().item(), rel=1e-4)


@pytest.mark.parametrize("mixing", [0.0, 0.4, 1.0])
def test_so_many_images_mix_two_styles(mixing):
    ours = objective(mixing=mixing)
    _, w = ours._generated(1500, None, Rng(5), with_w=True)
    changes = (w[:, 1:] != w[:, :-1]).any(2)
    assert changes.sum(1).max() <= 1, "one crossover"
    assert changes.any(1).double().mean().item() == pytest.approx(mixing, abs=0.05)
    if mixing:
        places = changes.double().argmax(1)[changes.any(1)]
        assert torch.bincount(places).min() > 0.6 * torch.bincount(places).max() and len(places.unique()) == 3


def recipe(**settings):
    common = {
        "batch": 4,
        "minibatch_std_group": 2,
        "width": 3,
        "max_channels": 4,
        "styles": 3,
        "latent": 4,
        "steps": 50,
    }
    return StyleGAN2(**{**common, **settings})


def trainer(chosen, folder=None):
    torch.manual_seed(0)
    images = torch.rand(4, *SHAPE) * 2 - 1
    world = World(0, 1, torch.device("cpu"))
    built = chosen.build(ImageSpec(8, 8, 2, 0))
    return Trainer(built, chosen, lambda phase, index: Batch(images), world, folder, torch.float32)


def test_lazy_phases_and_their_optimizers():
    """Path length every 4 steps, R1 every 16, and Adam's lr and betas to the k / (k + 1) (appendix B)."""
    made = trainer(recipe(path_weight=2.0, mixing=0.9, loss="nonsaturating", penalty="r1", penalty_every=16))
    seen = Counter()
    for name, phase in {p.name: p for p in made.phases}.items():
        losses = phase.losses
        made.phases = [
            p if p.name != name else type(p)(**{**vars(p), "losses": counted(seen, name, losses)})
            for p in made.phases
        ]
    for _ in range(17):
        made.step()
    assert seen == {"discriminator": 17, "penalty": 2, "generator": 17, "path length": 5}
    for network, ratio in (("generator", 4 / 5), ("discriminator", 16 / 17)):
        group = made.optimizers[network].param_groups[0]
        assert group["lr"] == pytest.approx(2.5e-3 * ratio)
        assert group["betas"] == pytest.approx((0.0, 0.99**ratio))
    assert made.objective.state["path_length"] > 0 and made.is_finite()


def counted(seen, name, losses):
    def count(batch, rng):
        seen[name] += 1
        return losses(batch, rng)

    return count


def test_adaptive_augmentation_reaches_the_state():
    made = trainer(recipe(augment=("ada",), ada_kimg=0.1, ada_target=-0.99))
    for _ in range(6):
        made.step()
    state = made.objective.state
    assert state["augment_p"].item() == pytest.approx(16 / 100), "after 4 batches of 4 of 100 images"
    assert state["ada_batches"] == 2 and state["ada_changed"] == 16
    assert made.objective.statistics["augment_p"] == state["augment_p"]


def test_adaptive_augmentation_counts_whole_updates_and_all_their_images():
    made = trainer(recipe(augment=("ada",), ada_kimg=0.1, ada_target=-0.99, accumulate=2))
    for _ in range(6):
        made.step()
    state = made.objective.state
    assert state["augment_p"].item() == pytest.approx(32 / 100), "after 4 updates of twice 4 of 100 images"
    assert state["ada_batches"] == 2 and state["ada_changed"] == 32


# ---------------------------------------------------------------------- what follows from the data


@pytest.mark.parametrize(
    ("size", "batch", "half_life", "paths"),
    [(28, 32, 10_000, 0.0), (64, 32, 10_000, 2.0), (256, 16, 5_000, 2.0), (512, 8, 2_500, 2.0)],
)
def test_unset_keys_follow_from_the_size(size, batch, half_life, paths):
    """Batch, group and half-life as ``auto`` of Karras et al.'s public code on one GPU, γ as r3gan's."""
    found = StyleGAN2().settled(ImageSpec(size, size, 3, 0))
    assert found["batch"] == batch and found["minibatch_std_group"] == 4
    assert found["gamma"] == gamma_for(size, size, batch) and found["ema"].half_life == half_life
    assert found["path_weight"] == paths and found["mixing"] == (0.9 if paths else 0.0)


def test_what_was_given_stays():
    given = StyleGAN2(
        batch=12, gamma=0.3, minibatch_std_group=3, mixing=0.5, path_weight=1.0, ema={"half_life": 99}
    )
    assert given.settled(ImageSpec(64, 64, 3, 0)) == {}


def test_published_settings_are_the_published_ones():
    chosen = StyleGAN2(preset="karras2020-cifar10")
    chosen = chosen.model_copy(update=chosen.settled(ImageSpec(32, 32, 3, 10)))
    assert (chosen.batch, chosen.minibatch_std_group, chosen.gamma, chosen.lr) == (64, 32, 0.01, 0.0025)
    assert (chosen.path_weight, chosen.mixing, chosen.ema.half_life, chosen.ema.warmup_share) == (
        0,
        0,
        500_000,
        0.05,
    )
    with torch.device("meta"):
        generator, discriminator = chosen.players(ImageSpec(32, 32, 3, 10))
    assert sum(p.numel() for p in generator.parameters()) == 19_947_539
    assert sum(p.numel() for p in discriminator.parameters()) == 21_507_073
    assert chosen.steps * chosen.batch == 100_000_000


def test_a_group_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(UsageError, match=r"^minibatch_std_group=5 does not divide batch=32"):
        StyleGAN2(minibatch_std_group=5).settled(ImageSpec(28, 28, 1, 0))
    assert StyleGAN2(batch=6).settled(ImageSpec(28, 28, 1, 0))["minibatch_std_group"] == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"augment_p": "0.5"}, "augment_p= is for augment=ada"),
        ({"augment": "adda"}, "'adda' is unknown; choose from ada, color"),
        ({"augment": "ada", "augment_p": "1.5"}, "augment_p"),
        ({"ada_pipe": "abc"}, "ada_pipe"),
        ({"condition": "concat"}, "condition"),
    ],
)
def test_settings_that_cannot_be(settings, told):
    with pytest.raises(UsageError, match=told):
        find("stylegan2").from_settings(settings)
    good = find("dcgan").from_settings({"augment": "ada,cutout", "augment_p": "0.2", "loss": "relativistic"})
    assert good.rules()["augmentations"] == ("cutout",)
