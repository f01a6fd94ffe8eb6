"""Dropout: how often, how much, and the same for the same seed."""

import pytest
import torch

from luoxia.nn.dropout import Dropout, dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_it_zeroes_a_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    y = dropout(torch.ones(1000, 1001), p)
    assert (y == 0).float().mean().item() == pytest.approx(p, abs=2e-3)
    kept = y[y != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)))


def test_neighbors_are_independent():
    torch.manual_seed(1)
    zeros = (dropout(torch.ones(400_000), 0.3) == 0).float()
    for distance in (1, 2, 3, 4):
        both = torch.stack([zeros[:-distance], zeros[distance:]])
        assert abs(torch.corrcoef(both)[0, 1].item()) < 6e-3


def test_a_seed_is_a_mask_and_the_gradient_follows_it():
    x = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(2)
    y = dropout(x, 0.4)
    torch.manual_seed(2)
    assert torch.equal(dropout(x, 0.4), y)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y != 0).double() / 0.6)


def test_only_training_drops():
    x = torch.randn(3, 3)
    layer = Dropout(0.5)
    assert torch.equal(layer.eval()(x), x)
    assert not torch.equal(layer.train()(x), x)
    assert Dropout(0.0)(x) is x
