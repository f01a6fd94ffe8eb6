"""The mean over the last checkpoints: which they are, what it is, and that they stay on the disk."""

import pytest
import torch
from torch import nn

from luoxia.core.errors import LuoxiaError
from luoxia.training import checkpoint
from luoxia.training.checkpoint_average import CheckpointAverage, averaged_steps


@pytest.mark.parametrize(
    ("step", "last", "expected"),
    [
        (0, False, []),
        (99, False, []),
        (100, False, [100]),
        (450, False, [200, 300, 400]),
        (450, True, [300, 400, 450]),
        (400, True, [200, 300, 400]),
        (7, True, [7]),
    ],
)
def test_which_are_averaged(step, last, expected):
    assert averaged_steps(step, 100, 3, last) == expected
    assert averaged_steps(step, 100, 0, last) == []


def test_the_mean_in_float64():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = CheckpointAverage(network)
    assert average.module is network
    states = []
    for _ in range(3):
        network(torch.randn(8, 3))
        with torch.no_grad():
            network[0].weight.normal_()
        states.append({name: value.clone() for name, value in network.state_dict().items()})
    average.take(states)
    assert average.module is not network
    assert not average.module.training
    for name, value in average.module.state_dict().items():
        if value.is_floating_point():
            expected = sum(state[name].double() for state in states) / 3
            torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)
    assert average.module.state_dict()["1.num_batches_tracked"] == 3
    assert torch.equal(network[0].weight, states[-1]["0.weight"])
    average.take([])
    assert average.module is network


def write(folder, step, **settings):
    tensors = {"net": {"w": torch.tensor([float(step)])}, "optimizer_net": {"0.m": torch.zeros(3)}}
    checkpoint.save(folder, step, tensors, {}, **settings)


def test_the_spared_stay_and_are_read(tmp_path):
    for step in range(0, 60, 10):
        write(tmp_path, step, keep=1, spared=averaged_steps(step, 20, 2))
    assert sorted(p.name for p in tmp_path.glob("step_*")) == ["step_000020", "step_000040", "step_000050"]
    found = checkpoint.load_network(tmp_path, [20, 30, 40], "net")
    assert [state["w"].item() for state in found] == [20, 40]


def test_a_damaged_one_is_one_sentence(tmp_path):
    write(tmp_path, 10)
    file = tmp_path / "step_000010" / "net.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(LuoxiaError, match=r"step_000010.*net\.safetensors is damaged"):
        checkpoint.load_network(tmp_path, [10], "net")
