"""Work in threads, results in order, memory bounded."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

MAX_WORKERS = 8


class ByteBudget:
    """Bytes that threads may hold at one time, all together."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._held = 0
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until so many bytes are free, and hold them meanwhile; what is larger than all has all to itself."""
        size = min(size, self.total)
        with self._freed:
            self._freed.wait_for(lambda: self._held + size <= self.total)
            self._held += size
        try:
            yield
        finally:
            with self._freed:
                self._held -= size
                self._freed.notify_all()


MEMORY = ByteBudget(2**30)
"""For files and images while they are decoded: an image of 100 million pixels takes most of it."""


def in_order(
    work: Callable[[Sequence[int]], Result], count: int, chunk: int, workers: int | None = None
) -> Iterator[Result]:
    """Yield ``work(indices)`` for 0 … count-1 cut into runs of ``chunk``, in order.

    Threads suffice because Pillow, zlib and hashlib release the interpreter's lock. At most two runs a thread
    are ahead of the consumer, so a slow consumer bounds the memory.
    """
    workers = workers or worker_count()
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="luoxia-data")
    try:
        for start in range(0, count, chunk):
            pending.append(pool.submit(work, range(start, min(start + chunk, count))))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def worker_count() -> int:
    """Return how many threads to use: the cores this process may run on, at most ``MAX_WORKERS``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_WORKERS)
