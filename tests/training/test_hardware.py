"""What keeps a resumed run from being equal to the bit, in words; and who waits for whom, how long."""

from datetime import timedelta

import pytest
import torch

from luoxia.training import distributed
from luoxia.training.distributed import World, join_world
from luoxia.training.hardware import capability, differences, versions

THEN = {
    "device": "cpu", "name": "A CPU", "processes": 1, "threads": 4, "precision": "fp32", "capability": "AVX512",
    "compiled": False, "torch": "2.10.0", "python": "3.12", "numpy": "2.3",
}  # fmt: skip


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({}, ""),
        ({"python": "3.13", "numpy": "2.4", "name": "Another CPU of the kind"}, ""),
        ({"threads": 2}, "2 threads, was 4"),
        ({"torch": "2.11.0"}, "torch 2.11.0, was 2.10.0"),
        ({"capability": "AVX2"}, "CPU instructions AVX2, was AVX512"),
        ({"processes": 2}, "2 processes, was 1"),
        ({"processes": 1, "threads": 1}, "1 thread, was 4"),
        ({"precision": "bf16"}, "precision bf16, was fp32"),
        ({"compiled": True}, "compiled: yes, was no"),
        ({"device": "cuda:0", "name": "A GPU", "threads": 9, "capability": "9.0"}, "device cuda:0, was cpu"),
        ({"threads": 2, "torch": "2.11.0"}, "torch 2.11.0, was 2.10.0; 2 threads, was 4"),
    ],
)
def test_differences_that_change_bits_are_named(now, told):
    assert differences(THEN, THEN | now) == told


def test_another_gpu_is_named_and_threads_do_not_matter_there():
    then = THEN | {"device": "cuda:0", "name": "A GPU", "capability": "8.0"}
    assert differences(then, then | {"threads": 9}) == ""
    assert differences(then, then | {"name": "B GPU"}) == "B GPU, was A GPU"


def test_what_an_older_record_lacks_is_taken_for_equal():
    old = {key: THEN[key] for key in ("device", "name", "processes", "threads", "precision")}
    assert differences(old, THEN | {"compiled": True}) == ""
    assert differences(old, THEN | {"threads": 1}) == "1 thread, was 4"
    assert versions()["torch"] == torch.__version__ and capability(torch.device("cpu"))


class Recorded:
    """``torch.distributed``, as far as it is called here."""

    ReduceOp = torch.distributed.ReduceOp

    def __init__(self):
        self.groups, self.timeouts = [], []

    def all_reduce(self, tensor, op=None, group=None):
        self.groups.append(group)

    def broadcast(self, tensor, src, group=None):
        self.groups.append(group)

    def barrier(self, group=None):
        self.groups.append(group)

    def is_initialized(self):
        return False

    def init_process_group(self, backend, timeout):
        self.timeouts.append(timeout)

    def new_group(self, backend, timeout):
        self.timeouts.append(timeout)
        return "patient"

    def get_rank(self):
        return 0


def test_a_hang_in_a_step_is_seen_soon_and_work_of_one_process_is_waited_for(monkeypatch):
    fake = Recorded()
    monkeypatch.setattr(distributed, "dist", fake)
    monkeypatch.setenv("WORLD_SIZE", "2")
    world = join_world("cpu")
    within, alone = fake.timeouts
    assert within <= timedelta(minutes=10) < timedelta(hours=1) < alone
    world.any(False)
    world.run_collectively(lambda: None)
    world.barrier()
    assert fake.groups == ["patient"] * 3
    world.broadcast(1.0)
    world.mean({"loss": torch.tensor(1.0)})
    assert fake.groups[3:] == [None, None]
    assert World(0, 1, torch.device("cpu")).run_collectively(lambda: 3) == 3
