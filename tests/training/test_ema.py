"""The exponential moving average: its half-life, its ramp, what it follows and what it leaves alone."""

import pytest
import torch
from torch import nn

from luoxia.core.values import Annealed
from luoxia.training.ema import EMA


def network():
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_beta_by_hand():
    """β = 0.5^(images / half-life): after as many images as the half-life, half of the old is left."""
    average = EMA(network(), half_life=100, warmup_share=0)
    assert average.beta(100, 100) == 0.5
    assert average.beta(10, 10) ** 10 == pytest.approx(0.5)
    assert average.beta(200, 10**9) == 0.25


def test_the_ramp_shortens_the_half_life_at_first():
    average = EMA(network(), half_life=1000, warmup_share=0.05)
    assert average.beta(64, 64) == pytest.approx(0.5 ** (64 / 3.2))
    assert average.beta(64, 10_000) == pytest.approx(0.5 ** (64 / 500))
    assert average.beta(64, 20_000) == average.beta(64, 10**9) == pytest.approx(0.5 ** (64 / 1000))
    assert average.beta(64, 0) == 0.0


def test_an_annealed_half_life_starts_with_no_average():
    average = EMA(network(), half_life=Annealed(0, 1000), warmup_share=0, course=4000)
    assert average.beta(64, 0) == 0.0
    assert average.beta(64, 2000) == pytest.approx(0.5 ** (64 / 500))
    assert average.beta(64, 4000) == average.beta(64, 10**9) == pytest.approx(0.5 ** (64 / 1000))


def test_updates_equal_the_recurrence_in_float64():
    torch.manual_seed(0)
    net = network()
    average = EMA(net, half_life=50, warmup_share=0.2)
    expected = {k: v.double() for k, v in net.state_dict().items() if v.is_floating_point()}
    for step in range(1, 30):
        with torch.no_grad():
            for p in net.parameters():
                p.add_(torch.randn_like(p))
        net(torch.randn(8, 3))
        average.update(8, 8 * step)
        beta = 0.5 ** (8 / min(50, 0.2 * 8 * step))
        for key, value in net.state_dict().items():
            if key in expected:
                expected[key] = beta * expected[key] + (1 - beta) * value.double()
    found = average.module.state_dict()
    for key, value in expected.items():
        torch.testing.assert_close(found[key].double(), value, rtol=1e-5, atol=1e-6)
    assert found["1.num_batches_tracked"] == net[1].num_batches_tracked == 29


def test_the_average_is_a_copy_of_its_own():
    net = network()
    average = EMA(net, half_life=10, warmup_share=0)
    before = [p.clone() for p in net.parameters()]
    average.update(10, 10)
    ours = {t.data_ptr() for t in (*net.parameters(), *net.buffers())}
    assert not ours & {t.data_ptr() for t in (*average.module.parameters(), *average.module.buffers())}
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert net.training and not average.module.training
    assert not any(p.requires_grad for p in average.module.parameters())
    assert all(p.requires_grad for p in net.parameters())


def test_it_is_made_of_the_state_of_its_start():
    net = network()
    average = EMA(net, half_life=1e9, warmup_share=0)
    first = net[0].weight.detach().clone()
    with torch.no_grad():
        net[0].weight.add_(1)
    average.update(1, 1)
    torch.testing.assert_close(average.module[0].weight, first)


def test_a_restored_average_goes_on_moving():
    """load_state_dict fills the very tensors that update() moves."""
    net, other = network(), network()
    average = EMA(net, half_life=1, warmup_share=0)
    average.module.load_state_dict(other.state_dict())
    for _ in range(60):
        average.update(1, 1)
    torch.testing.assert_close(average.module[0].weight, net[0].weight)


def test_shared_weights_move_once():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    average = EMA(net, half_life=1, warmup_share=0)
    old = average.module[0].weight.clone()
    with torch.no_grad():
        net[0].weight.add_(1)
    average.update(1, 1)
    torch.testing.assert_close(average.module[0].weight, old + 0.5)
    assert average.module[0].weight is average.module[1].weight


def test_weights_may_pass_through_half_precision_range():
    net = nn.Linear(1, 1)
    average = EMA(net, half_life=1, warmup_share=0)
    with torch.no_grad():
        net.weight.fill_(1e30)
    for _ in range(50):
        average.update(1, 1)
    assert average.module.weight.dtype == torch.float32
    torch.testing.assert_close(average.module.weight, net.weight)
