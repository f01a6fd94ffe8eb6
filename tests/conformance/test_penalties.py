"""Every gradient penalty against a float64 reference: per-sample loops, slopes by finite differences."""

import pytest
import torch
from torch import nn

from luoxia.adversarial.losses import LOSSES
from luoxia.adversarial.objective import Adversarial
from luoxia.adversarial.penalties import PENALTIES, UnitNorm, input_gradients
from luoxia.tasks.image_generation.networks import dcgan, mlp
from luoxia.tasks.image_generation.recipes.adversarial import PenaltyName
from luoxia.training.objective import Batch, Rng
from luoxia.training.optimizers import make_optimizer
from luoxia.training.recipe import Optimizer
from pairs import a_discriminator, a_generator

SHAPE = (2, 3, 3)
N = 5


class Linear(nn.Module):
    """D(x) = w·x + b."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(18, 1)

    def forward(self, x, labels=None):
        return self.layer(x.flatten(1)).squeeze(1)


class Smooth(nn.Module):
    """A tanh layer between, and a label's vector added to the hidden units: conditional, not linear."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(18, 6), nn.Linear(6, 1)
        self.label = nn.Embedding(4, 6)

    def forward(self, x, labels=None):
        hidden = self.first(x.flatten(1))
        hidden = hidden if labels is None else hidden + self.label(labels)
        return self.last(hidden.tanh()).squeeze(1)


@pytest.fixture(params=[0, 1])
def batch(request):
    """Real and fake images (5, 2, 3, 3) and labels (5,)."""
    generator = torch.Generator().manual_seed(request.param)
    real, fake = (torch.randn(N, *SHAPE, generator=generator) for _ in range(2))
    return real, fake, torch.randint(0, 4, (N,), generator=generator)


def make(kind, seed=0):
    torch.manual_seed(seed)
    return kind()


def slope_norms_squared(critic, images, labels):
    """‖∇D(x)‖² for each sample, one sample at a time, one pixel at a time: float64 (n,), differentiable in D."""
    squares, step = [], 1e-5
    for i in range(len(images)):
        x, y = images[i : i + 1].double(), None if labels is None else labels[i : i + 1]
        total = 0
        for pixel in range(x.numel()):
            delta = torch.zeros(x.numel(), dtype=torch.float64)
            delta[pixel] = step
            delta = delta.view_as(x)
            total = total + ((critic(x + delta, y) - critic(x - delta, y)) / (2 * step)).squeeze() ** 2
        squares.append(total)
    return torch.stack(squares)


def reference(name, weight, critic, real, fake, labels, rng):
    """The published formulas; draws from ``rng`` in the order α, then noise."""
    if name == "r1+r2":
        return sum(reference(part, weight, critic, real, fake, labels, rng) for part in ("r1", "r2"))
    if name in ("r1", "r2"):
        squares = slope_norms_squared(critic, real if name == "r1" else fake, labels)
        return weight / 2 * squares.mean()
    alpha = rng.uniform(N, 1, 1, 1)
    other = fake if name == "gp" else real + 0.5 * real.std() * rng.uniform(N, *SHAPE)
    share = alpha if name == "gp" else 1 - alpha
    points = torch.stack([share[i] * real[i] + (1 - share[i]) * other[i] for i in range(N)])
    return weight * ((slope_norms_squared(critic, points, labels).sqrt() - 1) ** 2).mean()


def total(name, weight, critic, real, fake, labels, rng):
    return sum(penalty(critic, real, fake, labels, rng) for _, penalty in PENALTIES[name](weight))


def gradients(value, module):
    return torch.autograd.grad(value, list(module.parameters()), allow_unused=True, materialize_grads=True)


def test_every_penalty_on_the_menu_is_checked():
    assert set(PENALTIES) == set(PenaltyName.__args__) == {"none", "gp", "dragan", "r1", "r2", "r1+r2"}
    assert PENALTIES["none"](1.0) == []
    assert [name for name, _ in PENALTIES["r1+r2"](1.0)] == ["r1", "r2"]


@pytest.mark.parametrize("name", ["gp", "dragan", "r1", "r2", "r1+r2"])
@pytest.mark.parametrize("kind", [Linear, Smooth])
@pytest.mark.parametrize("conditional", [False, True])
def test_value_and_parameter_gradients(name, kind, conditional, batch):
    real, fake, labels = batch
    labels = labels if conditional else None
    critic, exact = make(kind), make(kind).double()
    found = total(name, 7.0, critic, real, fake, labels, Rng(3))
    expected = reference(name, 7.0, exact, real, fake, labels, Rng(3))
    assert found.dtype == torch.float32 and found.shape == ()
    assert found.item() == pytest.approx(expected.item(), rel=2e-5)
    ours, theirs = gradients(found, critic), gradients(expected, exact)
    largest = max(g.abs().max().item() for g in theirs)
    assert largest > 1e-3
    for mine, reference_gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.double(), reference_gradient, rtol=2e-4, atol=2e-5 * largest)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 10.0])
def test_linear_critic_by_hand(gamma, batch):
    """For D(x) = w·x the slope is w at every x: γ/2·‖w‖², and λ·(‖w‖ − 1)²."""
    real, fake, _ = batch
    critic = make(Linear)
    norm = critic.layer.weight.double().norm().item()
    for name in ("r1", "r2"):
        assert total(name, gamma, critic, real, fake, None, Rng(0)).item() == pytest.approx(
            gamma / 2 * norm**2
        )
    for name in ("gp", "dragan"):
        assert total(name, gamma, critic, real, fake, None, Rng(0)).item() == pytest.approx(
            gamma * (norm - 1) ** 2
        )


@pytest.mark.parametrize("name", ["gp", "dragan", "r1", "r2"])
def test_a_flat_critic_has_finite_gradients(name, batch):
    """‖·‖ has no slope at 0: a critic that ignores its input must not give NaN."""
    real, fake, _ = batch
    critic = make(Linear)
    nn.init.zeros_(critic.layer.weight)
    value = total(name, 1.0, critic, real, fake, None, Rng(0))
    assert value.item() == (1.0 if name in ("gp", "dragan") else 0.0)
    assert all(g.isfinite().all() for g in gradients(value, critic))


def test_gp_points_lie_on_their_own_line(batch):
    """One α a sample, the same for all its pixels: x̂ = αx + (1 − α)G(z), 0 ≤ α < 1."""
    real, fake, _ = batch
    points = UnitNorm(1.0).points(real, fake, Rng(1))
    alphas = (points - fake) / (real - fake)
    per_sample = alphas.flatten(1).median(1).values
    torch.testing.assert_close(alphas, per_sample.view(-1, 1, 1, 1).expand_as(alphas), rtol=1e-2, atol=1e-2)
    assert per_sample.min() >= 0 and per_sample.max() < 1
    assert (per_sample[:, None] - per_sample).abs().fill_diagonal_(1).min() > 1e-4


def test_alpha_is_uniform():
    real, fake = torch.ones(20_000, 1, 1, 1), torch.zeros(20_000, 1, 1, 1)
    alpha = UnitNorm(1.0).points(real, fake, Rng(0)).flatten()
    quantiles = torch.linspace(0.1, 0.9, 9)
    torch.testing.assert_close(alpha.quantile(quantiles), quantiles, rtol=0, atol=0.015)


def test_dragan_stays_near_the_real_images(batch):
    real = batch[0]
    shift = UnitNorm(1.0, around="real").points(real, None, Rng(0)) - real
    assert (shift >= 0).all() and shift.max() < 0.5 * real.std() and shift.max() > 0


@pytest.mark.parametrize("name, reads", [("gp", True), ("r2", True), ("r1", False), ("dragan", False)])
def test_needs_fake(name, reads, batch):
    real, _, labels = batch
    ((_, penalty),) = PENALTIES[name](1.0)
    assert penalty.needs_fake == reads
    if not reads:
        penalty(make(Smooth), real, None, labels, Rng(0))


def test_penalties_reach_no_further_than_the_critic(batch):
    """The generator gets nothing from R2 or GP: x is cut off from what made it."""
    real, fake, _ = batch
    fake = fake.clone().requires_grad_()
    value = total("r2", 1.0, make(Smooth), real, fake, None, Rng(0)) + total(
        "gp", 1.0, make(Smooth), real, fake, None, Rng(0)
    )
    value.backward()
    assert fake.grad is None


# ---------------------------------------------------------------------- precision


class Watching(nn.Module):
    """Remembers the number formats that pass through."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(18, 4), nn.Linear(4, 1)
        self.seen = []

    def forward(self, x, labels=None):
        hidden = self.first(x.flatten(1)).tanh()
        logits = self.last(hidden).squeeze(1)
        self.seen += [x.dtype, hidden.dtype, logits.dtype]
        return logits


@pytest.mark.parametrize("name", ["gp", "dragan", "r1", "r2"])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_float32_inside_autocast(name, given, batch):
    real, fake = (x.to(given) for x in batch[:2])
    critic = make(Watching)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert critic(real).dtype == torch.bfloat16  # so autocast is on
        critic.seen.clear()
        inside = total(name, 10.0, critic, real, fake, None, Rng(0))
        assert torch.is_autocast_enabled("cpu")
    assert set(critic.seen) == {torch.float32} and inside.dtype == torch.float32
    outside = total(name, 10.0, critic, real.float(), fake.float(), None, Rng(0))
    torch.testing.assert_close(inside, outside, rtol=1e-6, atol=0)
    for a, b in zip(gradients(inside, critic), gradients(outside, critic), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def adversarial(critic, name, every=1, generator=None, **settings):
    generator = generator or a_generator(mlp, 4, SHAPE, (8,), classes=settings.pop("classes", 0))
    return Adversarial(
        generator,
        critic,
        LOSSES["wasserstein"](),
        penalties=PENALTIES[name](10.0),
        penalty_every=every,
        **settings,
    )


@pytest.mark.parametrize("name", ["gp", "r1", "r2", "dragan"])
def test_float32_inside_autocast_through_the_objective(name, batch):
    torch.manual_seed(0)
    critic = Watching()
    objective = adversarial(critic, name, every=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = sum(objective.lazy_penalties(Batch(batch[0]), Rng(0)).values())
    assert critic.seen and set(critic.seen) == {torch.float32} and value.dtype == torch.float32


# ---------------------------------------------------------------------- real networks, conditional critics


@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("name", ["gp", "r1", "r2"])
def test_conditional_convolutional_critic(name, projection):
    """Each sample is judged under its own label, in float32 as in float64, alone as in a batch."""
    torch.manual_seed(0)
    critic = a_discriminator(dcgan, (1, 8, 8), 4, classes=3, projection=projection, norm="layer")
    nn.init.normal_(critic.critic.linear.weight)
    real, fake, labels = torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    found = total(name, 1.0, critic, real, fake, labels, Rng(2))
    found_gradients = gradients(found, critic)
    exact = a_discriminator(dcgan, (1, 8, 8), 4, classes=3, projection=projection, norm="layer").double()
    exact.load_state_dict(critic.state_dict())
    alpha = Rng(2).uniform(4, 1, 1, 1).double()
    points = {"gp": alpha * real + (1 - alpha) * fake, "r1": real.double(), "r2": fake.double()}[name]
    squares = []
    for x, y in zip(points, labels, strict=True):
        x = x[None].detach().requires_grad_()
        (slope,) = torch.autograd.grad(exact(x, y[None]).sum(), x, create_graph=True)
        squares.append(slope.square().sum())
    squares = torch.stack(squares)
    expected = (squares.sqrt() - 1).square().mean() if name == "gp" else squares.mean() / 2
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    for a, b in zip(found_gradients, gradients(expected, exact), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-3, atol=1e-6)
    if name == "r1":  # the labels matter
        assert total(name, 1.0, critic, real, fake, labels.roll(1), Rng(2)) != found


def test_input_gradients_are_those_of_each_sample_alone(batch):
    """A sample's slope does not change with its neighbors, nor do logits."""
    critic = make(Smooth)
    slopes, logits = input_gradients(critic, batch[0], batch[2])
    assert slopes.shape == (N, 18) and logits.shape == (N,)
    for i in range(N):
        one, _ = input_gradients(critic, batch[0][i : i + 1], batch[2][i : i + 1])
        torch.testing.assert_close(one[0], slopes[i])
    exact = make(Smooth).double()
    for i in range(N):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, i=i: exact(x, batch[2][i : i + 1]), batch[0][i : i + 1].double()
        )
        torch.testing.assert_close(slopes[i].double(), jacobian.flatten(), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- lazy regularization


@pytest.mark.parametrize("every", [2, 4, 16])
@pytest.mark.parametrize("name", ["r1", "gp", "r1+r2"])
def test_lazy_gain(name, every, batch):
    """A penalty every k steps weighs k times as much; at k = 1 it joins D's loss unchanged."""
    torch.manual_seed(0)
    critic, generator = make(Smooth), a_generator(mlp, 4, SHAPE, (8,))
    real = Batch(batch[0])
    eager, lazy = (adversarial(critic, name, every=k, generator=generator) for k in (1, every))
    once, rare = (sum(o.lazy_penalties(real, Rng(1)).values()) for o in (eager, lazy))
    torch.testing.assert_close(rare, every * once)
    assert set(eager.discriminator_losses(real, Rng(0))) == {"adversarial", *(n for n, _ in eager.penalties)}
    assert set(lazy.discriminator_losses(real, Rng(0))) == {"adversarial"}
    phases = {phase.name: phase for phase in lazy.phases()}
    assert phases["penalty"].every == every and phases["penalty"].updates == "discriminator"
    assert [phase.name for phase in eager.phases()] == ["discriminator", "generator"]


@pytest.mark.parametrize("every", [2, 4, 16])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_lazy_adam(name, every):
    """Learning rate × c and βᶜ with c = k/(k + 1) (Karras et al. 2020, appendix B); nothing at k = 1."""
    settings = Optimizer(name=name, betas=(0.5, 0.99))
    c = every / (every + 1)
    group = make_optimizer(Linear(), settings, 0.01, every).param_groups[0]
    assert group["lr"] == pytest.approx(0.01 * c)
    assert group["betas"] == pytest.approx((0.5**c, 0.99**c))
    plain = make_optimizer(Linear(), settings, 0.01, 1).param_groups[0]
    assert plain["lr"] == 0.01 and tuple(plain["betas"]) == (0.5, 0.99)


def test_lazy_adam_forgets_at_the_same_pace():
    """k steps of the rescaled Adam with its one extra update decay a moment as k plain steps do."""
    for k in (2, 8, 16):
        group = make_optimizer(Linear(), Optimizer(betas=(0.5, 0.99)), 1.0, k).param_groups[0]
        for rescaled, plain in zip(group["betas"], (0.5, 0.99), strict=True):
            assert rescaled ** (k + 1) == pytest.approx(plain**k)
        assert group["lr"] * (k + 1) == pytest.approx(k)
