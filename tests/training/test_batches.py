"""Batches of samples that are loaded one by one: equal for any number of workers, to the bit; nothing outlives them."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from luoxia.core.errors import LuoxiaError
from luoxia.core.workers import Workers
from luoxia.media.image.batches import ImageBatches, to_float
from luoxia.media.image.images import open_images
from luoxia.training.batches import LoadedBatches, Sampler
from luoxia.training.checkpoint import load_latest
from luoxia.training.distributed import World
from luoxia.training.objective import Batch, Phase
from training import ramp_data
from training.ramp_data import COUNT, Broken, Dying, Ramps
from training.ramps import (
    WORLD,
    make_batches,
    make_session,
    make_trainer,
    resumed,
    train_until_killed,
    weights,
)

PHASE = Phase("denoise", lambda batch, rng: {}, "smoother")
OTHER = Phase("rarely", lambda batch, rng: {}, "smoother")
SECONDS = 60


def contents(batches, indices, phase=PHASE):
    with batches:
        return [batches(phase, index) for index in indices]


def assert_same(some, others):
    for one, other in zip(some, others, strict=True):
        assert one.weight == other.weight
        assert torch.equal(one.values, other.values) and torch.equal(one.lengths, other.lengths)


def loaders():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("luoxia-")]


@pytest.fixture(autouse=True)
def _no_thread_remains():
    yield
    assert loaders() == []


@pytest.fixture
def one_thread():
    """A forked process must not use the threads that its parent had for products."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---------------------------------------------------------------------- the same batches


@pytest.mark.parametrize("labeled", [True, False])
@pytest.mark.parametrize("workers", [0, 3])
def test_images_one_by_one_are_the_batches_of_the_resident_array(workers, labeled):
    dataset = open_images()
    indices, world = np.arange(0, 700, 3), World(1, 2, torch.device("cpu"))

    def stack(samples, random):
        images = torch.from_numpy(np.stack([image for image, _ in samples]))
        return Batch(to_float(images), torch.tensor([label for _, label in samples]) if labeled else None)

    fast = ImageBatches(dataset, indices, 32, 7, world, labeled)
    general = LoadedBatches(dataset, Sampler(indices, 32, 7, world), stack, world, 7, workers=workers)
    with general:
        for phase in (PHASE, OTHER):
            for index in (0, 1, 2, 9):  # the last is beyond an epoch
                one, other = fast(phase, index), general(phase, index)
                assert (
                    torch.equal(one.samples, other.samples) and one.samples.stride() == other.samples.stride()
                )
                assert (one.labels is None) == (other.labels is None) == (not labeled)
                assert one.labels is None or torch.equal(one.labels, other.labels)
        chosen = indices[[5, 3, 8]]
        assert torch.equal(fast.gather(chosen).samples, general.gather(chosen).samples)


def test_batches_are_equal_for_any_number_of_workers():
    expected = contents(make_batches(0), range(9))
    assert len({batch.values.shape[1] for batch in expected}) > 1, "unequal lengths"
    for workers in (1, 3, "auto"):
        assert_same(contents(make_batches(workers), range(9)), expected)


def test_batches_are_a_function_of_their_number():
    """Whatever was asked for before: a resumed run begins in the middle, a rolled back one goes back."""
    expected = contents(make_batches(0), range(9))
    order = [7, 8, 2, 3, 3, 0, 8]
    assert_same(contents(make_batches(3), order), [expected[i] for i in order])


def test_processes_share_the_samples_out():
    worlds = [World(rank, 2, torch.device("cpu")) for rank in range(2)]
    drawn = [Sampler(np.arange(COUNT), 4, 5, world)(PHASE, index) for index in range(3) for world in worlds]
    alone = Sampler(np.arange(COUNT), 4, 5, WORLD)
    assert [d.tolist() for d in drawn] == [alone(PHASE, index).tolist() for index in range(6)]
    assert len(np.unique(np.concatenate(drawn)[:COUNT])) == COUNT, "each once before any comes again"
    one, other = (make_batches(0, world=world)(PHASE, 0) for world in worlds)
    assert one.lengths.tolist() != other.lengths.tolist()


def test_phases_have_orders_of_their_own():
    batches = make_batches(2)
    with batches:
        mixed = [batches(phase, index) for index in range(4) for phase in (PHASE, OTHER)]
    assert_same(mixed[::2], contents(make_batches(0), range(4)))
    assert_same(mixed[1::2], contents(make_batches(0), range(4), OTHER))


def test_processes_load_the_same(monkeypatch):
    """For samples whose decoding holds the interpreter's lock."""
    batches = make_batches(2, Ramps("processes"))
    found = contents(batches, range(3))
    assert_same(found, contents(make_batches(0), range(3)))
    assert batches._loader is None


# ---------------------------------------------------------------------- ahead, but not too far


class Counting(Ramps):
    def __init__(self):
        super().__init__()
        self.loaded = []

    def __getitem__(self, index):
        self.loaded.append(index)
        return super().__getitem__(index)


def test_a_bounded_number_of_samples_is_loaded_ahead():
    dataset = Counting()
    batches = make_batches(3, dataset)
    batches(PHASE, 0)
    batches.close()  # which waits for what has begun
    assert 4 <= len(dataset.loaded) <= 4 * 3
    batches(PHASE, 1)
    assert loaders() == [], "closed: loaded by whoever asks"


def test_the_next_batch_is_loaded_while_this_one_is_used():
    begun = threading.Event()

    class Waiting(Ramps):
        def __getitem__(self, index):
            if index in following:
                begun.set()
            return super().__getitem__(index)

    following = set(Sampler(np.arange(COUNT), 4, 5, WORLD)(PHASE, 1).tolist())
    with make_batches(1, Waiting()) as batches:
        batches(PHASE, 0)
        assert begun.wait(SECONDS)


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_of_an_update_are_loaded_once(workers, tmp_path):
    """An accumulated update draws each batch twice, to count it and in its turn."""
    dataset = Counting()
    trainer = make_trainer(tmp_path, workers, dataset, accumulate=3)
    for _ in range(2):
        trainer.step()
    trainer.batches.close()
    twice = make_trainer(tmp_path, 0, accumulate=3)
    for _ in range(2):
        twice.step()
    assert all(torch.equal(value, weights(twice)[key]) for key, value in weights(trainer).items())
    batches = 2 * 2 * 3 + 3  # two updates a step, and the lazy one
    if workers == 0:
        assert len(dataset.loaded) == 4 * batches
    assert len(dataset.loaded) <= 4 * (batches + 2 * 2)


# ---------------------------------------------------------------------- errors


def first_error(workers, dataset):
    """How many batches came before the error, and its sentence."""
    with make_batches(workers, dataset) as batches:
        for index in range(9):
            try:
                batches(PHASE, index)
            except LuoxiaError as error:
                return index, str(error), error
    return pytest.fail("no error")


def test_a_sample_that_cannot_be_loaded_is_named_when_its_turn_comes():
    expected = first_error(0, Broken())
    assert expected[1] == (
        "cannot load sample 11 (ramp-11.txt) of ramps: ValueError: cut short; repair or remove it, and start again"
    )
    assert isinstance(expected[2].__cause__, ValueError)
    for workers, pool in ((3, "threads"), (1, "processes")):
        assert first_error(workers, Broken(pool))[:2] == expected[:2], pool


def test_samples_that_do_not_make_a_batch_are_named():
    def failing(samples, random):
        raise RuntimeError("stack expects each tensor to be equal size")

    sampler = Sampler(np.arange(COUNT), 4, 5, WORLD)
    with (
        LoadedBatches(Ramps(), sampler, failing, WORLD, 5, workers=2) as batches,
        pytest.raises(
            LuoxiaError, match=r"samples \d+, \d+, \d+ … of ramps do not make a batch: RuntimeError: stack"
        ),
    ):
        batches(PHASE, 0)


def test_a_process_that_dies_is_told():
    assert "ended unexpectedly: lower workers=" in first_error(1, Dying("processes"))[1]


def test_data_that_cannot_be_sent_to_processes_is_told():
    dataset = Ramps("processes")
    dataset.lock = threading.Lock()
    with pytest.raises(LuoxiaError, match=r"ramps cannot be sent .* set workers=0"):
        make_batches(1, dataset)(PHASE, 0)


# ---------------------------------------------------------------------- how it ends


def test_a_forked_process_loads_by_itself():
    """It has none of the threads."""
    with make_batches(2) as batches:
        expected = batches(PHASE, 0)
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            same = torch.equal(batches(PHASE, 0).values, expected.values)
            batches.close()
            os.write(write, b"same" if same else b"other")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 5) == b"same"
        assert_same([batches(PHASE, 0)], [expected])


@pytest.mark.parametrize("workers", [0, 3])
def test_a_killed_training_resumes_bit_for_bit(workers, tmp_path, one_thread):
    """Killed while it loads, and resumed with as many workers and with others."""
    assert train_until_killed(tmp_path / "run", workers) == -signal.SIGKILL
    reached = load_latest(tmp_path / "run").step
    assert 0 < reached < 7
    whole = make_trainer(tmp_path / "whole", 0)
    for _ in range(9):
        whole.step()
    for later in (0, 3):
        shutil.copytree(tmp_path / "run", tmp_path / f"later {later}")
        found = resumed(tmp_path / f"later {later}", later, 9)
        assert all(torch.equal(value, found[key]) for key, value in weights(whole).items())


class Signalling(Counting):
    """While one sample loads, the training is asked to stop."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def __getitem__(self, index):
        if len(self.loaded) == 50:
            os.kill(os.getpid(), self.number)
        return super().__getitem__(index)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [0, 3])
def test_a_signal_ends_the_step_and_the_workers(number, workers, tmp_path):
    """A whole session is stopped while it loads, and resumed bit for bit."""
    stopped = make_session(tmp_path / "run", Signalling(number), workers)
    assert not stopped.go()
    assert loaders() == [] and stopped.stopper.signal == number.name
    step = load_latest(tmp_path / "run" / "checkpoints").step
    assert step == stopped.trainer.progress.step < 9
    resumed = make_session(tmp_path / "run", Ramps(), 2)
    resumed.restore()
    whole = make_session(tmp_path / "whole", Ramps(), 0)
    assert resumed.go() and whole.go() and loaders() == []
    assert all(
        torch.equal(value, weights(whole.trainer)[key]) for key, value in weights(resumed.trainer).items()
    )
    lines = list(resumed.run.records("log"))
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 9]
    assert all(line["data_seconds"] > 0 for line in lines)


def test_an_error_ends_the_workers_too(tmp_path):
    session = make_session(tmp_path / "run", Broken(), 3)
    with pytest.raises(LuoxiaError, match="cannot load sample 11"):
        session.go()
    assert loaders() == []


PARENT = """
import multiprocessing, os, signal, sys
sys.path[:0] = {paths!r}
from training.ramp_data import Ramps
from luoxia.core.workers import Workers
if __name__ == "__main__":
    workers = Workers(Ramps("processes"), 1)
    workers.finish([workers.start(3)])
    print(multiprocessing.active_children()[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks a process up in /proc")
def test_worker_processes_end_with_a_killed_training(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(paths=[str(Path(ramp_data.__file__).parents[1]), *sys.path]))
    done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, timeout=SECONDS)
    # run() has returned, so that the pipe's other end, which the worker held, is closed
    line = Path(f"/proc/{int(done.stdout)}/cmdline")
    assert not line.exists() or not line.read_bytes(), "still there, and no zombie"


def test_data_of_ones_own_file_reaches_worker_processes(tmp_path):
    """Such a module cannot be imported by name."""
    code = "from training.ramp_data import Ramps\nclass Longer(Ramps):\n    def __getitem__(self, i): return [i] * 3\n"
    (tmp_path / "mine.py").write_text(code)
    module = ModuleType("luoxia_recipes_test_mine")
    module.__file__ = str(tmp_path / "mine.py")
    sys.modules[module.__name__] = module
    try:
        exec(code, vars(module))
        workers = Workers(module.Longer("processes"), 1)
        assert workers.finish([workers.start(2)]) == [[2, 2, 2]]
        workers.close()
    finally:
        del sys.modules[module.__name__]
