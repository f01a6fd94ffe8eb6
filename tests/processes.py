"""Several processes on this machine: spawned, or by torchrun as a user starts them."""

import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import torch

from luoxia.training.distributed import join_world, leave_world


def spawned(job, folder, count=2, seconds=240):
    """``job(world)`` in ``count`` gloo processes; their results by rank. ``job`` is a module's own function."""
    context = torch.multiprocessing.get_context("spawn")
    port = _free_port()
    processes = [
        context.Process(target=_work, args=(rank, count, port, job, str(folder))) for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds)
    hung = [p for p in processes if p.is_alive()]
    for process in hung:
        process.kill()
    assert not hung, "the processes wait for each other"
    return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(count)]


def every(jobs, world):
    """By name each ``job(world)``'s result, or its traceback: one that fails leaves no process waiting for the next."""
    results = {}
    for name, job in jobs.items():
        try:
            results[name] = job(world)
        except Exception:
            results[name] = traceback.format_exc()
        world.barrier()
    return results


def torchrun(folder, *words, count=2, **environment):
    """``torchrun -m luoxia WORDS`` in a folder, to its end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    kept = {key: value for key, value in os.environ.items() if key != "WORLD_SIZE"}
    return subprocess.run(
        [*command, "-m", "luoxia", *map(str, words)],
        capture_output=True,
        text=True,
        env=kept | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"} | environment,
        cwd=folder,
        timeout=300,
        check=False,
    )


def _work(rank, count, port, job, folder):
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
    }
    torch.set_num_threads(1)
    world = join_world("cpu")
    result = job(world)
    world.barrier()
    leave_world()
    torch.save(result, Path(folder) / f"{rank}.pt")


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
