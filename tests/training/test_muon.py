"""Muon beside AdamW: who learns by which, the update against float64, and its state out and back."""

import copy
import math

import pytest
import torch
from torch import nn

from luoxia.nn.linear import LastLayer
from luoxia.training.muon import Muon, hidden_matrices
from luoxia.training.optimizers import load_state_tensors, make_optimizer, state_tensors
from luoxia.training.recipe import Optimizer

SETTINGS = Optimizer(name="muon", adam_lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)


class Toy(nn.Module):
    """An embedding, a hidden matrix with a bias, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 6)
        self.hidden = nn.Linear(6, 10)
        self.outwards = LastLayer(10, 11)

    def forward(self, ids):
        return self.outwards(self.hidden(self.tokens(ids)).relu())


def learn(network, optimizer, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        ids = torch.randint(0, 11, (32,), generator=generator)
        loss = nn.functional.cross_entropy(network(ids), (3 * ids + 1) % 11)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def test_only_hidden_matrices_are_muons():
    network = Toy()
    assert [id(p) for p in hidden_matrices(network)] == [id(network.hidden.weight)]
    optimizer = make_optimizer(network, SETTINGS, 0.02)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert rates.pop(id(network.hidden.weight)) == 0.02
    assert len(rates) == 4
    assert set(rates.values()) == {0.01}


def test_it_is_an_optimizer_like_any_other():
    """Hooks, its own state, and groups that are added later."""
    torch.manual_seed(0)
    one, two = Toy(), Toy()
    two.load_state_dict(one.state_dict())
    first, second = (make_optimizer(network, SETTINGS, 0.02) for network in (one, two))
    heard = []
    first.register_step_post_hook(lambda optimizer, args, settings: heard.append(len(optimizer.state)))
    learn(one, first, 3)
    assert heard == [5, 5, 5]
    two.load_state_dict(one.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    extra = nn.Parameter(torch.ones(3))
    first.add_param_group({"params": [extra]})
    extra.grad = torch.ones(3)
    learn(one, first, 2, seed=1)
    learn(two, second, 2, seed=1)
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    assert (extra < 1).all(), "what is added learns by AdamW"


def orthogonalized(matrix):
    """Five Newton–Schulz steps of Muon's quintic, in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.double()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


def test_the_update_is_the_papers():
    torch.manual_seed(0)
    network = Toy()
    before = network.hidden.weight.detach().clone()
    optimizer = make_optimizer(network, SETTINGS, 0.02)
    gradient = torch.randn_like(before)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    network.hidden.weight.grad = gradient.clone()
    optimizer.step()
    momentum = (1 - 0.95) * gradient.double()
    nesterov = (1 - 0.95) * gradient.double() + 0.95 * momentum
    expected = -0.02 * math.sqrt(max(1, 10 / 6)) * orthogonalized(nesterov)
    torch.testing.assert_close(
        (network.hidden.weight.detach() - before).double(), expected, rtol=0.05, atol=5e-4
    )


SHAPES = [(6, 10), (10, 6), (6, 6), (10, 6), (6, 10), (12, 12)]


def matrices():
    return [
        nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(i)))
        for i, shape in enumerate(SHAPES)
    ]


def test_it_is_torchs_muon():
    ours, theirs = matrices(), matrices()
    start = [p.detach().clone() for p in ours]
    one = Muon(ours, lr=0.02, momentum=0.9, weight_decay=0.1)
    two = torch.optim.Muon(theirs, lr=0.02, momentum=0.9, weight_decay=0.1)
    for step in range(5):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            a.grad = torch.randn(a.shape, generator=torch.Generator().manual_seed(100 * step + i))
            b.grad = a.grad.clone()
        one.step()
        two.step()
    for a, b, before in zip(ours, theirs, start, strict=True):
        assert (a - b).norm() < 0.04 * (b - before).norm(), a.shape  # both iterate in bfloat16
        torch.testing.assert_close(one.state[a]["momentum_buffer"], two.state[b]["momentum_buffer"])


@pytest.mark.parametrize("name", ["muon", "rmsprop", "sgd"])
def test_an_update_that_is_not_finite_changes_nothing(name):
    """The way of a GPU: the decision stays on the device."""
    settings = SETTINGS.model_copy(update={"name": name, "weight_decay": 0.1, "momentum": 0.9})
    one, two = Toy(), Toy()
    two.load_state_dict(one.state_dict())
    pairs = [(net, make_optimizer(net, settings, 0.02)) for net in (one, two)]
    for step in range(4):
        for network, optimizer in pairs:
            good = step in (1, 3)
            optimizer.found_inf, optimizer.grad_scale = torch.tensor(float(not good)), None
            for i, p in enumerate(network.parameters()):
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(10 * step + i))
                if not good:
                    p.grad = p.grad * float("nan")
            if good or network is one:
                optimizer.step()
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_it_learns():
    torch.manual_seed(0)
    network = Toy()
    assert learn(network, make_optimizer(network, SETTINGS, 0.02), 300) < 0.05 * math.log(11)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_its_state_goes_out_and_back(name):
    torch.manual_seed(0)
    one, settings = Toy(), SETTINGS.model_copy(update={"name": name, "weight_decay": 0.1})
    optimizer = make_optimizer(one, settings, 0.02)
    learn(one, optimizer, 3)
    two = Toy()
    two.load_state_dict(one.state_dict())
    other = make_optimizer(two, settings, 0.02)
    load_state_tensors(other, state_tensors(optimizer))
    learn(one, optimizer, 3, seed=1)
    learn(two, other, 3, seed=1)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_only_matrices_decay():
    torch.manual_seed(0)
    network = Toy()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    settings = SETTINGS.model_copy(update={"weight_decay": 0.5})
    optimizer = make_optimizer(network, settings, 0.02)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, p in network.named_parameters():
        shrunk = p.dim() > 1
        assert torch.equal(p, before[name]) != shrunk, name
