"""Flow matching against what is known in closed form of Gaussian data."""

import math

import pytest
import torch

from luoxia.nn.flow_matching import (
    NEAREST,
    TimeEmbedding,
    gaussian_estimate,
    interpolate,
    logit_normal,
    midpoints,
    stratified,
    velocity,
    velocity_loss,
)

MEAN, SPREAD = 0.7, 0.4


def gaussian(n, seed=0):
    random = torch.Generator().manual_seed(seed)
    x = MEAN + SPREAD * torch.randn(n, 1, generator=random, dtype=torch.float64)
    return x, torch.randn(n, 1, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.9])
def test_the_path_is_gaussian_as_it_should_be(t):
    x, noise = gaussian(200_000)
    z = interpolate(x, noise, torch.full((len(x),), t, dtype=torch.float64))
    assert z.mean() == pytest.approx(t * MEAN, abs=0.01)
    assert z.std() == pytest.approx(math.hypot(t * SPREAD, 1 - t), rel=0.01)


def test_the_path_ends_at_noise_and_at_data():
    x, noise = gaussian(5)
    assert torch.equal(interpolate(x, noise, torch.zeros(5, dtype=torch.float64)), noise)
    assert torch.equal(interpolate(x, noise, torch.ones(5, dtype=torch.float64)), x)


def test_the_velocity_of_a_sample_is_data_less_noise():
    x, noise = gaussian(50)
    t = torch.rand(50, dtype=torch.float64) * 0.99
    assert torch.allclose(velocity(x, interpolate(x, noise, t), t), x - noise)


@pytest.mark.parametrize("t", [0.0, 0.25, 0.6, 0.94])
def test_the_marginal_velocity_of_gaussian_data(t):
    """d/dt of the flow z_t = t·m + s_t·z_0, s_t² = t²σ² + (1 − t)², which carries N(0, 1) to N(m, σ²)."""
    s = math.hypot(t * SPREAD, 1 - t)
    slope = (t * SPREAD**2 - (1 - t)) / s
    z0 = torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None]
    z, rows = t * MEAN + s * z0, torch.full((13,), t, dtype=torch.float64)
    mean, variance = torch.tensor([MEAN]).double(), torch.tensor([SPREAD**2]).double()
    marginal = velocity(gaussian_estimate(z, rows, mean, variance), z, rows)
    assert torch.allclose(marginal, MEAN + slope * z0, atol=1e-6)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_least_squares_on_samples_finds_the_marginal_velocity(t):
    """What a network that fits x − ε by least squares learns, without the closed form."""
    x, noise = gaussian(400_000, seed=1)
    rows = torch.full((len(x),), t, dtype=torch.float64)
    z = interpolate(x, noise, rows)
    design = torch.cat([z, torch.ones_like(z)], 1)
    gain, offset = torch.linalg.lstsq(design, x - noise).solution.flatten().tolist()
    at = torch.tensor([[0.0], [1.0]]).double()
    mean, variance = torch.tensor([MEAN]).double(), torch.tensor([SPREAD**2]).double()
    t2 = rows[:2]
    low, high = velocity(gaussian_estimate(at, t2, mean, variance), at, t2).flatten().tolist()
    assert (offset, gain) == pytest.approx((low, high - low), abs=0.01)


def test_the_loss_is_that_of_the_velocities():
    random = torch.Generator().manual_seed(2)
    x, noise, estimate = (torch.randn(6, 2, 3, generator=random) for _ in range(3))
    t = torch.tensor([0.0, 0.2, 0.5, 0.9, 0.97, 1.0])
    z = interpolate(x, noise, t)
    error = velocity(estimate, z, t, NEAREST) - velocity(x, z, t, NEAREST)
    assert torch.allclose(velocity_loss(estimate, x, t), error.square().mean((1, 2)), rtol=1e-4)
    assert velocity_loss(x, x, t).sum() == 0


def test_times_are_logit_normal_and_each_batch_sees_all_of_them():
    t = logit_normal(torch.rand(100_000, generator=torch.Generator().manual_seed(0)), -0.8, 0.8)
    assert t.logit().mean() == pytest.approx(-0.8, abs=0.02)
    assert t.logit().std() == pytest.approx(0.8, abs=0.02)
    uniform = stratified(torch.rand(8, generator=torch.Generator().manual_seed(0)))
    assert (uniform * 8).floor().tolist() == list(range(8))
    assert logit_normal(torch.tensor([0.0, 1.0]), 0, 3).isfinite().all()
    assert logit_normal(midpoints(3), -0.8, 0.8)[1] == pytest.approx(1 / (1 + math.exp(0.8)))


def test_near_times_have_near_vectors_and_far_ones_others():
    torch.manual_seed(0)
    embedding = TimeEmbedding(16)
    a, b, c = embedding(torch.tensor([0.5, 0.5005, 0.9]))
    assert (a - b).norm() < 0.1 * (a - c).norm()
