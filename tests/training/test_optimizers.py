"""Optimizers against their papers' update rules, schedules by hand, and their state out and back."""

import math

import pytest
import torch
from torch import nn

from luoxia.core.values import Annealed
from luoxia.training.optimizers import (
    follow_schedule,
    gradient_norm,
    load_state_tensors,
    make_optimizer,
    schedule_factor,
    state_tensors,
)
from luoxia.training.recipe import Optimizer, Schedule

LR, EPS, DECAY = 0.03, 1e-8, 0.1


class Adam:
    """Kingma & Ba 2014, algorithm 1; with ``decoupled``, Loshchilov & Hutter 2017, algorithm 2."""

    def __init__(self, betas, decay=0.0, decoupled=False):
        self.betas, self.decay, self.decoupled = betas, decay, decoupled
        self.m = self.v = 0.0
        self.t = 0

    def __call__(self, w, g):
        self.t += 1
        b1, b2 = self.betas
        if self.decoupled:
            w = w - LR * self.decay * w
        else:
            g = g + self.decay * w
        self.m, self.v = b1 * self.m + (1 - b1) * g, b2 * self.v + (1 - b2) * g * g
        return w - LR * (self.m / (1 - b1**self.t)) / (math.sqrt(self.v / (1 - b2**self.t)) + EPS)


class RMSprop:
    """Hinton's lecture 6e: mean square with decay 0.99; optional momentum."""

    def __init__(self, momentum=0.0, decay=0.0):
        self.momentum, self.decay = momentum, decay
        self.v = self.buffer = 0.0

    def __call__(self, w, g):
        g = g + self.decay * w
        self.v = 0.99 * self.v + 0.01 * g * g
        self.buffer = self.momentum * self.buffer + g / (math.sqrt(self.v) + EPS)
        return w - LR * self.buffer


class SGD:
    """Polyak's heavy ball."""

    def __init__(self, momentum=0.0, decay=0.0):
        self.momentum, self.decay = momentum, decay
        self.buffer = 0.0

    def __call__(self, w, g):
        self.buffer = self.momentum * self.buffer + g + self.decay * w
        return w - LR * self.buffer


RULES = {
    "adam": (Optimizer(betas=(0.5, 0.9)), lambda: Adam((0.5, 0.9))),
    "adam decay": (Optimizer(betas=(0, 0.9), weight_decay=DECAY), lambda: Adam((0, 0.9), DECAY)),
    "adamw": (Optimizer(name="adamw", weight_decay=DECAY), lambda: Adam((0.5, 0.999), DECAY, decoupled=True)),
    "rmsprop": (Optimizer(name="rmsprop"), lambda: RMSprop()),
    "rmsprop momentum": (
        Optimizer(name="rmsprop", momentum=0.8, weight_decay=DECAY),
        lambda: RMSprop(0.8, DECAY),
    ),
    "sgd": (Optimizer(name="sgd", weight_decay=DECAY), lambda: SGD(0.0, DECAY)),
    "sgd momentum": (Optimizer(name="sgd", momentum=0.8), lambda: SGD(0.8)),
}


def gradients(step):
    return torch.randn(2, 3, generator=torch.Generator().manual_seed(step))


def parameter():
    net = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.arange(6.0).view(2, 3) / 3 - 1)
    return net


@pytest.mark.parametrize("name", RULES)
def test_updates_follow_the_paper(name):
    settings, rule = RULES[name]
    net = parameter()
    optimizer = make_optimizer(net, settings, LR)
    rules = [rule() for _ in range(6)]
    expected = net.weight.detach().flatten().tolist()
    for step in range(6):
        net.weight.grad = gradients(step)
        optimizer.step()
        expected = [
            r(w, g) for r, w, g in zip(rules, expected, gradients(step).flatten().tolist(), strict=True)
        ]
    torch.testing.assert_close(net.weight.flatten(), torch.tensor(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_state_comes_back(name):
    """Steps, moments and buffers: an optimizer with restored state moves on as the first would."""
    settings, _ = RULES[name]
    first, second = parameter(), parameter()
    one, two = make_optimizer(first, settings, LR), make_optimizer(second, settings, LR)
    for step in range(3):
        first.weight.grad = gradients(step)
        one.step()
    second.load_state_dict(first.state_dict())
    load_state_tensors(two, {k: v.clone() for k, v in state_tensors(one).items()})
    for step in range(3, 6):
        for net, optimizer in ((first, one), (second, two)):
            net.weight.grad = gradients(step)
            optimizer.step()
    assert torch.equal(first.weight, second.weight)
    assert {v.data_ptr() for v in state_tensors(one).values()}.isdisjoint(
        v.data_ptr() for v in state_tensors(two).values()
    )


def test_without_momentum_adam_keeps_one_moment_and_moves_as_ever():
    ours, theirs = parameter(), parameter()
    optimizer = make_optimizer(ours, Optimizer(betas=(0, 0.9), weight_decay=DECAY), LR)
    adam = torch.optim.Adam(theirs.parameters(), LR, (0.0, 0.9), EPS, DECAY, fused=True)
    for step in range(6):
        for net in (ours, theirs):
            net.weight.grad = gradients(step)
        optimizer.found_inf = adam.found_inf = torch.tensor(float(step == 0))
        optimizer.step()
        adam.step()
        torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-6, atol=1e-7)
    assert state_tensors(optimizer).keys() == {"0.step", "0.exp_avg_sq"}


def test_a_moment_that_an_older_checkpoint_kept_is_dropped():
    ours = parameter()
    optimizer = make_optimizer(ours, Optimizer(betas=(0, 0.9)), LR)
    ours.weight.grad = gradients(0)
    optimizer.step()
    load_state_tensors(optimizer, {**state_tensors(optimizer), "0.exp_avg": torch.ones_like(ours.weight)})
    ours.weight.grad = gradients(1)
    optimizer.step()
    assert state_tensors(optimizer).keys() == {"0.step", "0.exp_avg_sq"}


def test_restoring_forgets_what_was_there():
    settings = Optimizer()
    net = parameter()
    optimizer = make_optimizer(net, settings, LR)
    net.weight.grad = gradients(0)
    optimizer.step()
    load_state_tensors(optimizer, {})
    assert state_tensors(optimizer) == {}


def test_parameters_of_one_element_keep_their_step_apart():
    """A scalar parameter has the shape of a step counter."""
    net = nn.Module()
    net.scale = nn.Parameter(torch.tensor(2.0))
    one, two = (make_optimizer(net, Optimizer(), LR) for _ in range(2))
    net.scale.grad = torch.tensor(1.0)
    one.step()
    load_state_tensors(two, state_tensors(one))
    found = state_tensors(two)
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in state_tensors(one).items()}
    assert found["0.step"].dtype == torch.float32 and found["0.step"] == 1


@pytest.mark.parametrize("name, counts_on_device", [("adam", True), ("adamw", True), ("rmsprop", False)])
def test_fused_optimizers_count_steps_on_the_device(name, counts_on_device):
    """A checkpoint is read on the CPU; a fused CUDA kernel reads its step from the GPU. ``meta`` stands for the GPU."""
    here = parameter()
    optimizer = make_optimizer(here, Optimizer(name=name), LR)
    here.weight.grad = gradients(0)
    optimizer.step()
    saved = state_tensors(optimizer)
    there = make_optimizer(parameter().to("meta"), Optimizer(name=name), LR)
    load_state_tensors(there, saved)
    devices = {key: value.device.type for key, value in state_tensors(there).items()}
    assert devices.pop("0.step") == ("meta" if counts_on_device else "cpu")
    assert set(devices.values()) == {"meta"}


def test_moments_take_the_layout_of_their_weights():
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(net, Optimizer(), LR)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    load_state_tensors(optimizer, {k: v.contiguous() for k, v in state_tensors(optimizer).items()})
    assert state_tensors(optimizer)["0.exp_avg"].stride() == net.weight.stride()


def test_every_optimizer_covers_every_parameter():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Embedding(3, 2))
    for name in ("adam", "adamw", "muon", "rmsprop", "sgd"):
        groups = make_optimizer(net, Optimizer(name=name), LR).param_groups
        covered = [id(p) for group in groups for p in group["params"]]
        assert sorted(covered) == sorted(id(p) for p in net.parameters())
        assert {group["lr"] for group in groups} == {LR}


def test_gradient_norm():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False), nn.Linear(1, 1))
    net[0].weight.grad, net[1].weight.grad = torch.full((2, 2), 2.0), torch.full((1, 2), 3.0)
    assert gradient_norm(net.parameters()).item() == pytest.approx(math.sqrt(4 * 4 + 2 * 9))
    net[1].weight.grad[0, 0] = float("nan")
    assert gradient_norm(net.parameters()).isnan()
    net[1].weight.grad[0, 0] = float("inf")
    assert not gradient_norm(net.parameters()).isfinite()
    net.zero_grad()
    assert gradient_norm(net.parameters()) == 0


def test_schedules_by_hand():
    constant, linear, cosine = (Schedule(name=n, final=0.2) for n in ("constant", "linear", "cosine"))
    at = [0.0, 0.25, 0.5, 1.0]
    assert [schedule_factor(constant, 9, p) for p in at] == [1, 1, 1, 1]
    assert [schedule_factor(linear, 9, p) for p in at] == pytest.approx([1, 0.8, 0.6, 0.2])
    quarter = 1 - 0.8 * 0.5 * (1 - math.cos(math.pi / 4))
    assert [schedule_factor(cosine, 9, p) for p in at] == pytest.approx([1, quarter, 0.6, 0.2])
    assert schedule_factor(linear, 9, 1.5) == pytest.approx(0.2) and schedule_factor(linear, 9, -1) == 1


def test_beta2_is_annealed_and_lazily_rescaled():
    """Huang et al. 2024 go from 0.9 to 0.99 by half a cosine; k / (k + 1) in the exponent is Karras et al. 2020's."""
    settings = Optimizer(betas=(0.0, "0.9..0.99"))
    for lazy, ratio in ((1, 1.0), (16, 16 / 17)):
        optimizer = make_optimizer(nn.Linear(2, 2), settings, 0.1, lazy)
        (group,) = optimizer.param_groups
        assert group["betas"][1] == pytest.approx(0.9**ratio)
        group["initial_lr"], group["lazy_ratio"] = 0.1, ratio
        for share in (0.0, 0.3, 1.0, 1.7):
            follow_schedule(optimizer, settings, 0.5, share)
            beta2 = 0.99 + (0.9 - 0.99) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
            assert group["betas"] == (0.0, pytest.approx(beta2**ratio)) and group["lr"] == 0.05
    assert (Annealed(0.1, 0.7).at(0.0), Annealed(0.1, 0.7).at(1.0)) == (0.1, 0.7), "exact at both ends"


def test_warmup_rises_by_equal_steps_and_never_from_zero():
    warm = Schedule(warmup=4)
    assert [schedule_factor(warm, step, 0.0) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_inverse_square_root_is_the_papers():
    """Vaswani et al. 2017, eq. 3, whose highest rate is (width · warmup)^-½."""
    width, warmup = 512, 40
    schedule = Schedule(name="inverse_sqrt", warmup=warmup)
    for step in (1, 7, 39, 40, 41, 400, 100_000):
        paper = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
        for progress in (0.0, 0.9):  # however long the run
            ours = (width * warmup) ** -0.5 * schedule_factor(schedule, step - 1, progress)
            assert ours == pytest.approx(paper)
    assert schedule_factor(Schedule(name="inverse_sqrt"), 3, 0.0) == 0.5


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_norm_is_that_of_all_gradients_together(layout):
    weights = [torch.zeros(8, 3, 5, 5), torch.zeros(300, 700), torch.zeros(7), torch.zeros(2)]
    for weight in weights[:-1]:
        weight.grad = torch.randn_like(weight)
    weights[0].grad = weights[0].grad.contiguous(memory_format=layout)
    exact = torch.cat([w.grad.double().flatten() for w in weights[:-1]]).norm().float()
    torch.testing.assert_close(gradient_norm(weights), exact, rtol=1e-5, atol=0)
    weights[1].grad[3, 4] = float("inf")
    assert not gradient_norm(weights).isfinite()
    assert gradient_norm(weights[-1:]) == 0
