"""The objective of flow matching on points in the plane, whatever its network is."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luoxia.nn.flow_matching import gaussian_estimate
from luoxia.tasks.shared.flow_matching import FlowMatching
from luoxia.training.objective import Examples, Rng

MEAN, VARIANCE = torch.tensor([0.5, -1.0]), torch.tensor([0.09, 0.25])


@dataclass
class Points(Examples):
    samples: Tensor
    conditions: None = None

    def __len__(self) -> int:
        return len(self.samples)


class Affine(nn.Module):
    """What is best for Gaussian data, with a mean and a variance to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    def forward(self, z: Tensor, t: Tensor, conditions: None) -> Tensor:
        return gaussian_estimate(z, t, self.mean, self.log_variance.exp())


def points(n: int, seed: int) -> Points:
    random = torch.Generator().manual_seed(seed)
    return Points(MEAN + VARIANCE.sqrt() * torch.randn(n, 2, generator=random))


def test_it_learns_the_mean_and_the_variance_of_gaussian_data() -> None:
    network, batch = Affine(), points(20_000, 0)
    objective = FlowMatching("flow", network)
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=40, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective.losses(batch, Rng(0))["velocity"]
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(network.mean, MEAN, atol=0.03)
    assert torch.allclose(network.log_variance.exp(), VARIANCE, rtol=0.1)


def test_the_observed_loss_is_the_same_each_time_and_changes_nothing() -> None:
    network, batch = Affine(), points(64, 0)
    objective = FlowMatching("flow", network)
    first, second = (objective.observe(batch, points(32, 1), Rng(seed)) for seed in (0, 1))
    assert first == second and first.keys() == {"train_loss", "heldout_loss"}
    assert network.training and not any(p.grad is not None for p in network.parameters())
    with torch.no_grad():
        network.mean.copy_(MEAN)
        network.log_variance.copy_(VARIANCE.log())
    assert objective.observe(batch, None, Rng(0))["train_loss"] < 0.9 * first["train_loss"]
