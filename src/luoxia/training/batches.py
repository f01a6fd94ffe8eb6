"""Batches of samples that are loaded one by one: of unequal shapes, or too many for memory.

Data in one array of equal shapes needs none of this; see ``luoxia.media.image.batches``.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.dataset import Dataset, load, reason
from luoxia.core.errors import LuoxiaError
from luoxia.core.order import Order, generator_for
from luoxia.core.workers import Workers, default_workers
from luoxia.training.distributed import World
from luoxia.training.objective import Examples, Phase, hashed

Sample = TypeVar("Sample")
Loaded = TypeVar("Loaded", bound=Examples)
Indices = NDArray[np.int64]
Collate = Callable[[list[Sample], np.random.PCG64], Loaded]
"""Makes one batch, on the CPU, of some samples. What is random in it (crops, masks) is drawn from ``random_raw`` of the
given bit generator alone. It runs beside the training, on one thread."""
Drawn = Callable[[Phase, int], Indices]
"""The samples of batch ``index`` of a phase: a pure function, in each process its own."""
AHEAD = 2
"""Batches of a phase that are loaded before they are needed; more where they are smaller than twice the workers."""


class Sampler:
    """Which samples each batch holds: every one once before any comes again, a pure function of the arguments.

    Batch ``index`` of a phase takes the next ``batch`` of ``indices`` in an order that ``seed`` and the phase decide;
    the processes of ``world`` take turns.
    """

    def __init__(self, indices: Indices, batch: int, seed: int, world: World) -> None:
        self.indices, self.batch, self.seed, self.world = indices, batch, seed, world
        self._orders: dict[str, Order] = {}

    def __call__(self, phase: Phase, index: int) -> Indices:
        """The samples of batch ``index`` of a phase, int64 (batch,)."""
        order = self._orders.get(phase.name)
        if order is None:
            order = self._orders[phase.name] = Order(
                len(self.indices), hashed(self.seed, "order", phase.name)
            )
        start = (index * self.world.size + self.world.rank) * self.batch
        return self.indices[order.indices(start, self.batch)]


@dataclass
class _Coming(Generic[Sample, Loaded]):
    """A batch on its way."""

    samples: list[Future[Sample]]
    batch: Future[_Placed[Loaded]]

    def drop(self) -> None:
        self.batch.cancel()
        for sample in self.samples:
            sample.cancel()


@dataclass
class _Placed(Generic[Loaded]):
    """A batch on the device, perhaps still being copied there."""

    host: Loaded
    batch: Loaded | None
    """None: it is still to be copied, by the main thread."""
    copied: torch.cuda.Event | None = None


class LoadedBatches(Generic[Sample, Loaded]):
    """Batches of a dataset, each a pure function of (seed, phase, index, rank), whatever loads the samples.

    While the device works on one batch the next ones are loaded by ``workers``, collated, and on CUDA pinned and copied
    beside the work. Without workers all this happens when a batch is asked for. Close it when training is over.

        >>> import numpy as np, torch
        >>> from luoxia.training.objective import Batch, Phase
        >>> class Ramps:
        ...     source, fingerprint, spec, skipped = "ramps", "f3a9", None, ()
        ...     def __len__(self):
        ...         return 6
        ...     def __getitem__(self, index):
        ...         return torch.ones(index + 1)
        >>> def padded(samples, random):
        ...     return Batch(torch.nn.utils.rnn.pad_sequence(samples, batch_first=True))
        >>> world = World(0, 1, torch.device("cpu"))
        >>> sampler = Sampler(np.arange(6), batch=3, seed=0, world=world)
        >>> phase = Phase("model", losses=lambda batch, rng: {}, updates="network")
        >>> with LoadedBatches(Ramps(), sampler, padded, world, seed=0, workers=2) as batches:
        ...     int(batches(phase, 0).samples.sum() + batches(phase, 1).samples.sum())  # 1 + 2 + … + 6
        21
    """

    def __init__(
        self,
        dataset: Dataset[Sample],
        sampler: Drawn,
        collate: Collate[Sample, Loaded],
        world: World,
        seed: int,
        *,
        workers: int | Literal["auto"] = "auto",
        accumulate: int = 1,
    ) -> None:
        """``workers``: how many samples are loaded at a time beside the training; 0: none. auto: ``default_workers``.

        ``accumulate``: batches of an update, which are asked for twice: they are kept in the host's memory meanwhile.
        """
        self.dataset, self.sampler, self.collate = dataset, sampler, collate
        self.world, self.seed = world, seed
        self.workers = default_workers() if workers == "auto" else workers
        self._kept: deque[tuple[tuple[str, int], Loaded]] = deque(maxlen=accumulate if accumulate > 1 else 0)
        self._coming: dict[tuple[str, int], _Coming[Sample, Loaded]] = {}
        self._loader: Workers[Sample] | None = None
        self._collator: ThreadPoolExecutor | None = None
        self._stream: torch.cuda.Stream | None = None
        self._owner = os.getpid()
        self._closed = False

    def __call__(self, phase: Phase, index: int) -> Loaded:
        """Batch ``index`` of a phase, on the device.

        Raises:
            LuoxiaError: one of its samples cannot be loaded, or they do not make a batch.
        """
        key = phase.name, index
        for kept, host in self._kept:
            if kept == key:
                return self._received(self._place(host))
        if not self._open():
            drawn = self.sampler(phase, index)
            placed = self._place(self._collate([load(self.dataset, int(i)) for i in drawn], drawn, *key))
        else:
            coming = self._coming.pop(key, None) or self._start(phase, index)
            self._look_ahead(phase, index, len(coming.samples))
            placed = coming.batch.result()
        self._kept.append((key, placed.host))
        return self._received(placed)

    def gather(self, indices: Indices) -> Loaded:
        """A batch of these samples, on the device."""
        numbers = [int(i) for i in indices]
        if self._open():
            assert self._loader is not None
            samples = self._loader.finish([self._loader.start(i) for i in numbers])
        else:
            samples = [load(self.dataset, i) for i in numbers]
        return self._received(self._place(self._collate(samples, indices, "gather", str(numbers))))

    def close(self) -> None:
        """End threads and processes; batches that are asked for later are loaded without them."""
        self._closed = True
        if self._owner != os.getpid():  # a forked child has none of them
            return
        for coming in self._coming.values():
            coming.drop()
        self._coming.clear()
        if self._loader is not None:
            self._loader.close()
        if self._collator is not None:
            self._collator.shutdown(cancel_futures=True)
        self._loader = self._collator = None

    def __enter__(self) -> LoadedBatches[Sample, Loaded]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ------------------------------------------------------------------ ahead of the training

    def _open(self) -> bool:
        """Whether something loads beside the training; it is started when the first batch is asked for."""
        if self.workers == 0 or self._closed or self._owner != os.getpid():
            return False
        if self._loader is None:
            self._loader = Workers(self.dataset, self.workers)
            self._collator = ThreadPoolExecutor(1, thread_name_prefix="luoxia-collate")
            if self.world.device.type == "cuda":
                self._stream = torch.cuda.Stream(self.world.device)  # type: ignore[no-untyped-call]
        return True

    def _start(self, phase: Phase, index: int) -> _Coming[Sample, Loaded]:
        assert self._loader is not None and self._collator is not None
        drawn = self.sampler(phase, index)
        loader = self._loader
        samples = [loader.start(int(i)) for i in drawn]

        def make() -> _Placed[Loaded]:
            return self._place(self._collate(loader.finish(samples), drawn, phase.name, index))

        return _Coming(samples, self._collator.submit(make))

    def _look_ahead(self, phase: Phase, index: int, size: int) -> None:
        """Start the batches that follow, and drop those that do not: training went back, or was resumed."""
        ahead = max(AHEAD, -(-2 * self.workers // max(size, 1)))
        following = range(index + 1, index + 1 + ahead)
        for key in [(name, i) for name, i in self._coming if name == phase.name and i not in following]:
            self._coming.pop(key).drop()
        for i in following:
            if (phase.name, i) not in self._coming:
                self._coming[phase.name, i] = self._start(phase, i)

    def _collate(self, samples: list[Sample], drawn: Sequence[int] | Indices, *key: str | int) -> Loaded:
        random = generator_for("collate", self.seed, *key, self.world.rank)
        try:
            return self.collate(samples, random)
        except Exception as error:
            numbers = ", ".join(f"{int(i):,}" for i in drawn[:3])
            more = " …" if len(drawn) > 3 else ""
            raise LuoxiaError(
                f"samples {numbers}{more} of {self.dataset.source} do not make a batch: {reason(error)}"
            ) from error

    # ------------------------------------------------------------------ onto the device

    def _place(self, host: Loaded) -> _Placed[Loaded]:
        """Begin to copy a batch to the device, on a stream of its own where it is prefetched."""
        device = self.world.device
        if device.type != "cuda":
            return _Placed(host, host.to(device) if device.type == "cpu" else None)
        with torch.cuda.device(device), torch.cuda.stream(self._stream):
            return _Placed(host, host.to(device), torch.cuda.current_stream().record_event())

    def _received(self, placed: _Placed[Loaded]) -> Loaded:
        """The batch, for which the device's own work now waits."""
        if placed.batch is None:
            return placed.host.to(self.world.device)
        if placed.copied is not None:
            current = torch.cuda.current_stream(self.world.device)
            current.wait_event(placed.copied)
            placed.batch.record_stream(current)
        return placed.batch
