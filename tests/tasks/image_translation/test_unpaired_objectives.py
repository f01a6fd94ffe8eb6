"""CycleGAN and CUT: the pool, the losses by hand in float64, and what a step passes through the networks."""

import math

import pytest
import torch
from torch import nn

from luoxia.adversarial.losses import LOSSES
from luoxia.media.image.images import ImageSpec
from luoxia.tasks.image_translation import recipes as unpaired
from luoxia.tasks.image_translation.networks.cyclegan import ModuleGroup
from luoxia.tasks.image_translation.objective import CycleGAN, UnpairedBatch, patch_nce, swap
from luoxia.training.objective import Rng

# ---------------------------------------------------------------------- the pool


def numbered(first, count):
    """Images that are all one number."""
    return torch.arange(first, first + count, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_the_pool_fills_and_then_swaps_half(batch):
    size, pool, seen, swapped = 5, torch.zeros(5, 1, 2, 2), torch.tensor(0), []
    for step in range(600):
        images, before = numbered(1 + step * batch, batch), pool.clone()
        shown = swap(pool, seen, images, Rng(step))
        if int(seen) + batch <= size:
            assert torch.equal(shown, images), "while it fills, what comes in is shown"
        for at in range(batch):
            own, other = images[at, 0, 0, 0], shown[at, 0, 0, 0]
            if own != other:
                swapped.append(step)
                assert own in pool or batch > size, "what is not shown is kept"
        seen += batch
        kept = set(pool[:, 0, 0, 0].tolist())
        assert len(kept - {0.0}) == min(int(seen), size), "all different, none lost"
        if batch <= size:
            given = set(before[:, 0, 0, 0].tolist()) | set(images[:, 0, 0, 0].tolist())
            assert sorted(kept | set(shown[:, 0, 0, 0].tolist())) == sorted(given - {0.0} | (kept & {0.0}))
    share = len(swapped) / (600 * batch - size)
    assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(600 * batch), share


def test_the_pool_is_a_function_of_the_step():
    pools = []
    for _ in range(2):
        pool, seen = torch.zeros(4, 1, 2, 2), torch.tensor(0)
        for step in range(20):
            swap(pool, seen, numbered(step, 2), Rng(step))
            seen += 2
        pools.append(pool)
    assert torch.equal(*pools)


def test_every_place_of_the_pool_is_used():
    pool, used = torch.zeros(6, 1, 1, 1), set()
    for step in range(200):
        before = pool.clone()
        swap(pool, torch.tensor(6), torch.full((1, 1, 1, 1), 1.0 + step), Rng(step))
        used |= set((pool != before).flatten().nonzero().flatten().tolist())
    assert used == set(range(6))


# ---------------------------------------------------------------------- CycleGAN


class Affine(nn.Module):
    """s · x + t."""

    def __init__(self, scale, shift):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))
        self.shift = nn.Parameter(torch.tensor(shift, dtype=torch.float64))
        self.calls = []

    def forward(self, x):
        self.calls.append(len(x))
        return self.scale * x + self.shift


def cyclegan(loss, **settings):
    torch.set_default_dtype(torch.float32)
    generators = ModuleGroup({"a2b": Affine(0.7, 0.1), "b2a": Affine(1.3, -0.2)})
    discriminators = ModuleGroup({"a": Affine(0.9, 0.3), "b": Affine(-0.4, 0.6)})
    return CycleGAN(generators, discriminators, LOSSES[loss](), (3, 4, 4), **settings)


def softplus(x):
    return math.log1p(math.exp(x))


@pytest.mark.parametrize("identity", [0.5, 0.0])
@pytest.mark.parametrize("loss", ["lsgan", "relativistic"])
def test_the_losses_by_hand(loss, identity):
    objective = cyclegan(loss, cycle=10.0, identity=identity, pool=0)
    generator = torch.Generator().manual_seed(torch.seed() % 2**31)
    a, b = (torch.rand(2, 3, 4, 4, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2))
    losses = objective.generator_losses(UnpairedBatch(a, b), Rng(0))
    pixels, expected = 2 * 3 * 4 * 4, {"cycle": 0.0, "adversarial": 0.0, "discriminators": 0.0}
    if identity:
        expected["identity"] = 0.0
    for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True):
        fake_b, fake_a = 0.7 * x + 0.1, 1.3 * y - 0.2
        expected["cycle"] += 10 / pixels * (abs(1.3 * fake_b - 0.2 - x) + abs(0.7 * fake_a + 0.1 - y))
        if identity:
            expected["identity"] += 10 * identity / pixels * (abs(0.7 * y + 0.1 - y) + abs(1.3 * x - 0.2 - x))
        real_a, made_a, real_b, made_b = (
            0.9 * x + 0.3,
            0.9 * fake_a + 0.3,
            -0.4 * y + 0.6,
            -0.4 * fake_b + 0.6,
        )
        for real, fake in ((real_a, made_a), (real_b, made_b)):
            if loss == "lsgan":  # Zhu et al., section 7.1: least squares, D's halved
                expected["adversarial"] += (fake - 1) ** 2 / pixels
                expected["discriminators"] += 0.5 * ((real - 1) ** 2 + fake**2) / pixels
            else:
                expected["adversarial"] += softplus(real - fake) / pixels
                expected["discriminators"] += 0.5 * softplus(fake - real) / pixels
    found = {name: value.item() for name, value in losses.items()}
    found["discriminators"] = objective.discriminator_losses(None, Rng(0))["adversarial"].item()
    assert found == pytest.approx(expected, rel=1e-5)
    passes = objective.networks["generators"]["a2b"].calls
    assert passes == ([4, 2] if identity else [2, 2]), (
        "one pass there, with the identity's images, and one back"
    )
    assert objective._made == []


def test_each_phase_reaches_what_it_updates_and_the_discriminators_see_no_generator():
    objective = cyclegan("lsgan")
    a, b = torch.rand(2, 1, 3, 4, 4)
    batch = UnpairedBatch(a.double(), b.double())
    networks = objective.networks
    sum(objective.generator_losses(batch, Rng(0)).values()).backward()
    assert all(p.grad is not None and p.grad != 0 for p in networks["generators"].parameters())
    networks["generators"].zero_grad()
    networks["discriminators"].zero_grad()
    objective.discriminator_losses(None, Rng(1))["adversarial"].backward()
    assert all(p.grad is not None and p.grad != 0 for p in networks["discriminators"].parameters())
    assert all(p.grad is None for p in networks["generators"].parameters())
    assert objective.state["pooled"] == 1 and objective.state["pool_a"][0].abs().sum() > 0
    assert {"real_logit", "fake_logit", "real_sign", "fake_sign"} <= objective.statistics.keys()
    observed = objective.observe(batch, batch, Rng(2))
    assert observed["train_logit"] == observed["heldout_logit"]


# ---------------------------------------------------------------------- CUT


def test_each_side_has_a_boundary_of_its_own():
    """The relativistic loss leaves a constant open, and each discriminator has another."""
    objective = cyclegan("relativistic")
    objective._tell(
        [(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])), (torch.ones(2) * 90, torch.ones(2) * 80)]
    )
    told = {name: value.item() for name, value in objective.statistics.items()}
    assert told == {"real_sign": 1, "fake_sign": -1, "real_logit": 46.25, "fake_logit": 40.25}


def test_patch_nce_is_a_softmax_over_the_patches_of_one_image():
    generator = torch.Generator().manual_seed(torch.seed() % 2**31)
    queries, keys = (
        nn.functional.normalize(torch.randn(2, 5, 8, generator=generator, dtype=torch.float64), dim=2)
        for _ in range(2)
    )
    total = 0.0
    for image in range(2):
        for i in range(5):
            shares = [math.exp(float(queries[image, i] @ keys[image, j]) / 0.07) for j in range(5)]
            total -= math.log(shares[i] / sum(shares)) / 10
    assert patch_nce(queries, keys, 0.07).item() == pytest.approx(total, rel=1e-9)


def test_cut_trains_the_generator_its_heads_and_one_discriminator():
    torch.manual_seed(0)
    recipe = unpaired.CUT(width=4, d_width=4, blocks=2, patches=9)
    objective = recipe.build(ImageSpec(16, 16, 3))
    batch = UnpairedBatch(*(torch.rand(2, 2, 3, 16, 16) * 2 - 1))
    losses = objective.generator_losses(batch, Rng(0))
    assert losses.keys() == {"nce", "identity", "adversarial"}
    assert all(value.isfinite() and value > 0 for value in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in objective.networks["generators"].parameters())
    assert objective.networks["discriminators"].keys() == {"b"}
    assert objective.discriminator_losses(None, Rng(1))["adversarial"].isfinite()
    places = objective.places(30, Rng(3))
    assert len(set(places.tolist())) == 9 and int(places.max()) < 30
    assert len(objective.places(4, Rng(3))) == 4
