"""Operations of a step against hand calculation, and the peaks of devices; where the time of a log line went."""

import time

import pytest
import torch
from torch import nn

from luoxia.training import flops
from luoxia.training.distributed import World
from luoxia.training.flops import PEAKS, device_peak, peak_flops
from luoxia.training.objective import Batch, Objective, Phase
from luoxia.training.recipe import Recipe
from luoxia.training.tally import Tally
from luoxia.training.trainer import Trainer

WORLD = World(0, 1, torch.device("cpu"))


class One(Objective):
    """One network and the mean of its squares."""

    def __init__(self, network):
        self.networks, self.statistics = {"one": network}, {}

    def phases(self):
        yield Phase(
            "model", lambda batch, rng: {"size": self.networks["one"](batch.samples).square().mean()}, "one"
        )


def make(network, *shape, folder=None, **settings):
    recipe = Recipe(**{"batch": shape[0], "ema": {"half_life": 0}, **settings})
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return Trainer(One(network), recipe, lambda phase, index: Batch(x), WORLD, folder, torch.float32)


def operations(network, *shape, tmp_path, **settings):
    """Of one example, forward and backward."""
    one = make(network, *shape, folder=tmp_path, **settings)
    one.flops.peak = 1.0
    one.save()
    one.flops.count(one)
    return one.flops.per_weight["model"]


def test_operations_of_a_linear_layer(tmp_path):
    """2·in·out forward, as many for the weight's gradient; none for the input's, which nothing asks for."""
    assert operations(nn.Linear(16, 32), 5, 16, tmp_path=tmp_path) == 2 * (2 * 16 * 32)


def test_operations_of_two_layers(tmp_path):
    """The second also passes a gradient on to the first."""
    network = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    assert operations(network, 5, 16, tmp_path=tmp_path) == 2 * (2 * 16 * 32) + 3 * (2 * 32 * 4)


def test_operations_of_a_convolution(tmp_path):
    """2·in·out·kernel² at each of the 6 × 6 places, and as many for the weight's gradient."""
    network = nn.Conv2d(3, 8, 3, padding=1)
    assert operations(network, 2, 3, 6, 6, tmp_path=tmp_path) == 2 * (2 * 3 * 8 * 9 * 36)


def test_accumulated_parts_are_counted_once_each(tmp_path):
    count = operations(nn.Linear(16, 32), 5, 16, tmp_path=tmp_path, accumulate=3)
    assert count == 2 * (2 * 16 * 32)
    several = make(nn.Linear(16, 32), 5, 16, accumulate=3)
    several.flops.per_weight = {"model": count}
    several.step()
    assert several.tally.flops == 15 * count


def test_the_optimizer_is_not_counted(tmp_path):
    """Muon multiplies matrices, too, however small the batch is."""
    count = operations(nn.Linear(16, 32), 5, 16, tmp_path=tmp_path, optimizer="muon")
    assert count == 2 * (2 * 16 * 32)


def test_what_cannot_be_counted_has_no_share(tmp_path, monkeypatch):
    class Failing(flops.FlopCounter):
        def get_total_flops(self):
            raise KeyError("an operation")

    monkeypatch.setattr(flops, "FlopCounter", Failing)
    one = make(nn.Linear(4, 4), 2, 4, folder=tmp_path)
    one.flops.peak = 1.0
    one.save()
    before = {key: value.clone() for key, value in one.networks["one"].state_dict().items()}
    one.flops.count(one)
    assert all(torch.equal(value, one.networks["one"].state_dict()[key]) for key, value in before.items())
    one.step()
    assert one.read_tally()["flops_share"] is None


def test_nothing_is_counted_where_the_peak_is_unknown(tmp_path, monkeypatch):
    one = make(nn.Linear(4, 4), 2, 4, folder=tmp_path)
    monkeypatch.setattr(one, "accumulate", lambda *phase: pytest.fail("counted"))
    one.flops.count(one)
    assert device_peak(torch.device("cpu"), torch.float32) is None


@pytest.mark.parametrize(
    ("name", "bf16", "tf32", "fp32"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4, 494.7, 66.9),
        ("NVIDIA H100 PCIe", 756, 378, 51.2),
        ("NVIDIA H200", 989.4, 494.7, 66.9),
        ("NVIDIA A100-SXM4-80GB", 312, 156, 19.5),
        ("NVIDIA A10", 125, 62.5, 31.2),
        ("NVIDIA L4", 121, 60, 30.3),
        ("NVIDIA L40S", 362, 183, 91.6),
        ("NVIDIA GeForce RTX 4090", 165.2, 82.6, 82.6),
        ("Tesla T4", None, 8.1, 8.1),
        ("Tesla V100-SXM2-16GB", None, 15.7, 15.7),
        ("Tesla V100-PCIE-32GB", None, 14, 14),
        ("NVIDIA GB200", 2500, 1250, 80),
        ("NVIDIA GH200 480GB", 989.4, 494.7, 66.9),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None, None, None),
        ("NVIDIA GeForce RTX 3090 Ti", None, None, None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None, None, None),
        ("NVIDIA GeForce GTX 1080", None, None, None),
    ],
)
def test_peaks_by_name(name, bf16, tf32, fp32):
    found = (
        peak_flops(name, torch.bfloat16, tf32=True),
        peak_flops(name, torch.float32, tf32=True),
        peak_flops(name, torch.float32, tf32=False),
    )
    assert found == tuple(peak and pytest.approx(peak * 1e12) for peak in (bf16, tf32, fp32))


def test_no_entry_hides_another():
    for number, (name, _) in enumerate(PEAKS):
        earlier = [other for other, _ in PEAKS[:number] if set(other.split()) <= set(name.split())]
        assert earlier == [], f"{earlier} would be taken for {name}"


def test_the_parts_of_a_line_add_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    tally = Tally(started=0.0)
    tally.data_seconds, tally.maintenance_seconds, tally.seen = 1.0, 2.5, 40
    now[0] = 10.0
    line = tally.read(lambda values: values, [])
    assert (line["data_seconds"], line["step_seconds"], line["maintenance_seconds"]) == (1.0, 6.5, 2.5)
    assert line["rate"] == 4.0


def test_waiting_for_batches_is_counted(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    one = make(nn.Linear(4, 4), 2, 4)
    one.tally, inner = Tally(started=0.0), one.batches

    def slow(phase, index):
        now[0] += 3.0
        return inner(phase, index)

    one.batches = slow
    one.step()
    now[0] += 2.0
    line = one.read_tally()
    assert (line["data_seconds"], line["step_seconds"], line["maintenance_seconds"]) == (3.0, 2.0, 0.0)
    assert line["memory_bytes"] > 0 and line["flops_share"] is None
