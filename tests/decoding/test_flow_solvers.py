"""Solvers against a flow whose solution is known; what is known of a sample; guidance."""

import itertools
import math

import pytest
import torch

from luoxia.core.errors import UsageError
from luoxia.decoding.flow import Guidance, Known, euler, flow, heun, times, velocity_of
from luoxia.nn.flow_matching import gaussian_estimate

MEAN = torch.tensor([0.7, -0.2]).double()
VARIANCE = torch.tensor([0.16, 0.01]).double()


def estimate(z, t):
    return gaussian_estimate(z, z.new_full((len(z),), t), MEAN, VARIANCE)


def noise(n=7):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def exact(z0, t):
    """The flow from N(0, 1) to N(MEAN, VARIANCE): z_t = t·m + z_0 · √(t²σ² + (1 − t)²)."""
    return t * MEAN + z0 * (t**2 * VARIANCE + (1 - t) ** 2).sqrt()


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2)])
def test_the_error_falls_with_the_order_of_the_solver(solver, order):
    z0 = noise()

    def error(steps):
        moments = [0.8 * t for t in times(steps)]  # Heun's last step, to 1, is Euler's
        return (solver(velocity_of(estimate), z0, moments) - exact(z0, 0.8)).abs().max().item()

    errors = [error(steps) for steps in (40, 80, 160)]
    for coarse, fine in itertools.pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_the_whole_way_leads_to_the_data(solver):
    z0 = noise()
    errors = [
        (flow(estimate, z0, steps=n, solver=solver, shift=1.0) - exact(z0, 1)).abs().max() for n in (25, 100)
    ]
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.02


def test_heun_needs_fewer_calls_of_the_network():
    z0, calls = noise(), []

    def counted(z, t):
        calls.append(t)
        return estimate(z, t)

    def error(solver, steps):
        calls.clear()
        result = flow(counted, z0, steps=steps, solver=solver, shift=1.0)
        return (result - exact(z0, 1)).abs().mean().item(), len(calls)

    (first, asked), (second, asked_less) = error("euler", 40), error("heun", 20)
    assert (asked, asked_less) == (40, 39)
    assert second < first / 2


def test_a_constant_velocity_is_solved_in_one_step():
    z = noise()
    target = torch.ones_like(z)
    for solver in ("euler", "heun"):
        assert torch.allclose(flow(lambda z, t: target, z, steps=1, solver=solver), target)


@pytest.mark.parametrize("solver", ["euler", "heun"])
def test_what_is_known_stays_and_is_seen_at_its_own_noise(solver):
    z0, seen = noise(), []
    known = Known(torch.tensor([[0.25, 0.0]]).double(), torch.tensor([False, True]))

    def watched(z, t):
        seen.append((t, z[:, 0]))
        return estimate(z, t)

    x = flow(watched, z0, steps=10, solver=solver, known=known)
    assert (x[:, 0] == 0.25).all()
    for t, values in seen:
        assert torch.allclose(values, t * 0.25 + (1 - t) * z0[:, 0])
    free = flow(estimate, z0, steps=10, solver=solver)
    assert torch.allclose(x[:, 1], free[:, 1])  # its values are independent of each other


def test_the_less_strength_the_nearer():
    z0 = noise(200)
    known = Known(torch.zeros(200, 2).double(), torch.tensor(True))
    far = [
        (flow(estimate, z0, steps=20, known=known, strength=s)[:, 0].abs().mean()) for s in (0, 0.3, 0.7, 1)
    ]
    assert far[0] == 0
    assert far == sorted(far)
    assert torch.allclose(flow(estimate, z0, steps=20, known=known), flow(estimate, z0, steps=20))
    with pytest.raises(UsageError, match=r"strength=0\.5"):
        flow(estimate, z0, strength=0.5)


def test_guidance_moves_away_from_the_other_estimate_within_its_interval():
    guidance = Guidance(3.0, (0.2, 0.8))
    assert [guidance.holds(t) for t in (0.1, 0.2, 0.5, 0.9)] == [False, True, True, False]
    one, other = torch.tensor([1.0]), torch.tensor([0.5])
    assert guidance.combine(one, other) == pytest.approx(2.0)
    assert not Guidance(1.0).holds(0.5)
