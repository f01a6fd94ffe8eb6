"""Every adversarial loss against its paper's formula in float64, and its gradients against calculus by hand."""

import math

import pytest
import torch
from torch import nn

from luoxia.adversarial.losses import LOSSES
from luoxia.adversarial.objective import Adversarial
from luoxia.tasks.image_generation.recipes.adversarial import LossName
from luoxia.training.objective import Batch, Rng


def sigma(a):
    return 1 / (1 + math.exp(-a))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


log = math.log

# name → (what D minimizes, what G minimizes), on lists of logits; D(x) = σ(logit) where the paper has a probability
FORMULAS = {
    "minimax": (
        lambda real, fake: -(mean(log(sigma(r)) for r in real) + mean(log(1 - sigma(f)) for f in fake)),
        lambda real, fake: mean(log(1 - sigma(f)) for f in fake),
    ),
    "nonsaturating": (
        lambda real, fake: -(mean(log(sigma(r)) for r in real) + mean(log(1 - sigma(f)) for f in fake)),
        lambda real, fake: -mean(log(sigma(f)) for f in fake),
    ),
    "lsgan": (
        lambda real, fake: mean((r - 1) ** 2 for r in real) / 2 + mean(f**2 for f in fake) / 2,
        lambda real, fake: mean((f - 1) ** 2 for f in fake) / 2,
    ),
    "hinge": (
        lambda real, fake: mean(max(0, 1 - r) for r in real) + mean(max(0, 1 + f) for f in fake),
        lambda real, fake: -mean(fake),
    ),
    "wasserstein": (
        lambda real, fake: mean(fake) - mean(real),
        lambda real, fake: -mean(fake),
    ),
    "relativistic": (
        lambda real, fake: -mean(log(sigma(r - f)) for r, f in zip(real, fake, strict=True)),
        lambda real, fake: -mean(log(sigma(f - r)) for r, f in zip(real, fake, strict=True)),
    ),
}


def numeric_gradient(function, values, step=1e-5):
    """Central differences of ``function(values)``."""
    slopes = []
    for i in range(len(values)):
        up, down = list(values), list(values)
        up[i] += step
        down[i] -= step
        slopes.append((function(up) - function(down)) / (2 * step))
    return torch.tensor(slopes, dtype=torch.float64)


@pytest.fixture(params=[0, 1, 2])
def logits(request):
    """Real and fake logits (9,), of moderate size and never on a kink."""
    generator = torch.Generator().manual_seed(request.param)
    return tuple(3 * torch.randn(9, generator=generator, dtype=torch.float64) for _ in range(2))


def test_every_loss_on_the_menu_has_a_formula():
    assert set(FORMULAS) == set(LOSSES) == set(LossName.__args__)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_value_and_gradients(name, side, logits):
    formula = FORMULAS[name][side == "generator"]
    real, fake = (x.clone().requires_grad_() for x in logits)
    value = getattr(LOSSES[name](), side)(real, fake)
    assert value.shape == ()
    r, f = (x.tolist() for x in logits)
    assert value.item() == pytest.approx(formula(r, f), rel=1e-12, abs=1e-13)
    by_real, by_fake = torch.autograd.grad(value, (real, fake), allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(by_real, numeric_gradient(lambda v: formula(v, f), r), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(by_fake, numeric_gradient(lambda v: formula(r, v), f), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", FORMULAS)
def test_needs_real_says_what_the_generator_reads(name, logits):
    real, fake = logits
    loss = LOSSES[name]()
    reads = FORMULAS[name][1](real.tolist(), fake.tolist()) != FORMULAS[name][1](
        (real + 1).tolist(), fake.tolist()
    )
    assert loss.needs_real == reads
    if not reads:
        assert loss.generator(None, fake) == loss.generator(real, fake)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_boundary_is_where_the_loss_is_undecided(name, logits):
    """Where a constant may be added to all logits, it moves with them; else, there D's two gradients are opposite."""
    real, fake = logits
    loss = LOSSES[name]()
    boundary = loss.boundary(real, fake)
    assert boundary.shape == ()
    if torch.allclose(loss.discriminator(real, fake), loss.discriminator(real + 3, fake + 3)):
        torch.testing.assert_close(loss.boundary(real + 3, fake + 3), boundary + 3)
        torch.testing.assert_close(boundary - fake.mean(), real.mean() - boundary)
        return
    at = boundary.clone().view(1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss.discriminator(at, at), at)
    assert gradient.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("real_at", [1e4, -1e4, 0.0])
@pytest.mark.parametrize("fake_at", [1e4, -1e4, 0.0])
def test_extreme_logits_stay_finite(name, real_at, fake_at):
    loss = LOSSES[name]()
    real, fake = torch.full((4,), real_at).requires_grad_(), torch.full((4,), fake_at).requires_grad_()
    for value in (loss.discriminator(real, fake), loss.generator(real, fake)):
        assert value.isfinite()
        gradients = torch.autograd.grad(value, (real, fake), allow_unused=True, materialize_grads=True)
        assert all(g.isfinite().all() for g in gradients)


def test_minimax_equals_sigmoid_cross_entropy(logits):
    """The second document's code: cross entropy with ones for real and zeros for fake."""
    real, fake = logits
    bce = nn.functional.binary_cross_entropy
    expected = bce(real.sigmoid(), torch.ones(9).double()) + bce(fake.sigmoid(), torch.zeros(9).double())
    torch.testing.assert_close(LOSSES["minimax"]().discriminator(real, fake), expected)
    torch.testing.assert_close(
        LOSSES["nonsaturating"]().generator(None, fake), bce(fake.sigmoid(), torch.ones(9).double())
    )


def test_minimax_is_a_game_of_one_value(logits):
    """D minimizes −V; G minimizes the part of V that it can change; non-saturating G pushes the same way, harder."""
    real, fake = logits[0], logits[1].clone().requires_grad_()
    value = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    minimax, other = LOSSES["minimax"](), LOSSES["nonsaturating"]()
    torch.testing.assert_close(minimax.discriminator(real, fake), -value)
    slopes = [
        torch.autograd.grad(v, fake, retain_graph=True)[0]
        for v in (value, minimax.generator(None, fake), other.generator(None, fake))
    ]
    torch.testing.assert_close(slopes[0], slopes[1])
    assert (slopes[2] < 0).all() and (slopes[1] < 0).all()
    torch.testing.assert_close(slopes[1] / slopes[2], fake.sigmoid() / (1 - fake.sigmoid()))


def test_optimal_discriminator_reaches_minus_log_4():
    """At D = ½ everywhere V is −log 4 (Goodfellow et al. 2014, theorem 1)."""
    half = torch.zeros(5, dtype=torch.float64)
    assert LOSSES["minimax"]().discriminator(half, half).item() == pytest.approx(math.log(4))


class Line(nn.Module):
    """A generator: z (n, 2) → 1 × 1 × 2 images."""

    latent, classes = 2, 0

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, z, labels=None):
        return self.linear(z).view(-1, 1, 1, 2)


class Score(nn.Module):
    """A discriminator: images → logits (n,)."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, images, labels=None):
        return self.linear(images.flatten(1)).squeeze(1)


def test_the_documents_value_function_through_the_objective():
    """With loss=minimax the objective's D loss is −V(D, G), and its G loss V's second term on fresh z."""
    torch.manual_seed(0)
    generator, discriminator = Line().double(), Score().double()
    objective = Adversarial(generator, discriminator, LOSSES["minimax"]())
    objective.critic = lambda images, labels, rng: discriminator(images)  # in float64
    real = Batch(torch.randn(6, 1, 1, 2, dtype=torch.float64))
    torch.set_default_dtype(torch.float64)
    try:
        d_loss = sum(objective.discriminator_losses(real, Rng(5)).values())
        g_loss = sum(objective.generator_losses(real, Rng(6)).values())
        z = [Rng(seed).normal(6, 2) for seed in (5, 6)]
    finally:
        torch.set_default_dtype(torch.float32)
    D = lambda x: discriminator(x).sigmoid()  # noqa: E731
    V = D(real.samples).log().mean() + (1 - D(generator(z[0]))).log().mean()
    torch.testing.assert_close(d_loss, -V)
    torch.testing.assert_close(g_loss, (1 - D(generator(z[1]))).log().mean())
