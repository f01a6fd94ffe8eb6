"""Samples of a dataset loaded beside other work: in threads, or in processes where decoding holds Python's lock."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any, Generic, TypeVar

from luoxia.core.dataset import Dataset, load, pool_of, reason
from luoxia.core.errors import LuoxiaError
from luoxia.core.parallel import worker_count

Sample = TypeVar("Sample")


def default_workers() -> int:
    """One for each core that this process may use, at most 8, shared with the other processes of a training here."""
    return max(1, worker_count() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


class Workers(Generic[Sample]):
    """Loads samples ahead of their use, ``count`` ≥ 1 at a time. Close it: its threads and processes end with it."""

    def __init__(self, dataset: Dataset[Sample], count: int) -> None:
        self._dataset = dataset
        self._processes = pool_of(dataset) == "processes"
        self._executor: Executor
        if self._processes:
            self._executor = ProcessPoolExecutor(
                count, get_context("spawn"), initializer=_begin, initargs=_packed(dataset)
            )  # a forked process would keep half of this one's threads, and its GPU
        else:
            self._executor = ThreadPoolExecutor(count, thread_name_prefix="luoxia-data")

    def start(self, index: int) -> Future[Sample]:
        """Begin to load a sample."""
        try:
            if self._processes:
                return self._executor.submit(_load_here, index)
            return self._executor.submit(load, self._dataset, index)
        except BrokenProcessPool as error:
            raise _broken() from error

    def finish(self, started: Iterable[Future[Sample]]) -> list[Sample]:
        """The samples, in order; ``LuoxiaError`` for the first that cannot be loaded, by name."""
        try:
            return [future.result() for future in started]
        except BrokenProcessPool as error:
            raise _broken() from error

    def close(self) -> None:
        """Wait for what is being loaded, drop what is not begun, and end all threads and processes."""
        self._executor.shutdown(cancel_futures=True)


def _broken() -> LuoxiaError:
    return LuoxiaError(
        "a process that loads data ended unexpectedly: lower workers= if memory ran out; workers=0 uses no processes"
    )


def _packed(dataset: Dataset[Any]) -> tuple[str, str | None, bytes]:
    """A dataset for another process: its class's module, the file of that where no import finds it, and a pickle."""
    name = type(dataset).__module__
    module = sys.modules.get(name)
    imported = name == "__main__" or getattr(module, "__spec__", None) is not None
    try:
        return name, None if imported else getattr(module, "__file__", None), pickle.dumps(dataset)
    except Exception as error:
        raise LuoxiaError(
            f"the data {dataset.source} cannot be sent to the processes that load it ({reason(error)}): set workers=0"
        ) from error


# ---------------------------------------------------------------------- within a worker process

GRACE = 10.0
"""Seconds that a worker process stays after a SIGTERM, for the step that the main process finishes."""
_here: Any = None
"""A worker process's dataset."""


def _begin(module: str, file: str | None, packed: bytes) -> None:
    """Prepare this process: it ends with the main one, whose business signals are that reach the whole group."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: threading.Timer(GRACE, os._exit, (1,)).start())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if file is not None:
        spec = importlib.util.spec_from_file_location(module, file)
        assert spec is not None and spec.loader is not None
        sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    _here = pickle.loads(packed)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # there are as many processes as cores


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        with contextlib.suppress(OSError):
            connection.wait([parent.sentinel])
        os._exit(1)


def _load_here(index: int) -> Any:
    return load(_here, index)
