"""From uint8 arrays to batches on the device: one gather, no Python per sample."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from luoxia.data import ImageDataset
from luoxia.data.batches import Order
from luoxia.objectives.base import Batch, Phase, hashed
from luoxia.training.distributed import World


def to_float(images: Tensor) -> Tensor:
    """uint8 (n, h, w, c) in 0 … 255 → float32 (n, c, h, w) in [−1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


class ImageBatches:
    """Batches of a data set, each a pure function of (seed, phase, index, rank).

    The data moves to the GPU whole when it fits in a quarter of the free memory; else it stays memory-mapped.
    """

    def __init__(
        self, dataset: ImageDataset, indices: np.ndarray, batch: int, seed: int, world: World, labelled: bool
    ) -> None:
        self.indices = indices
        self.batch = batch
        self.seed = seed
        self.world = world
        self.source = dataset.images
        self.labels = (
            torch.from_numpy(np.array(dataset.labels)) if labelled and dataset.labels is not None else None
        )
        self._orders: dict[str, Order] = {}
        self._resident = self._move_to_gpu()

    def __call__(self, phase: Phase, index: int) -> Batch:
        """Batch number ``index`` of a phase: every image once before any comes again."""
        order = self._orders.get(phase.name)
        if order is None:
            order = self._orders[phase.name] = Order(
                len(self.indices), hashed(self.seed, "order", phase.name)
            )
        start = (index * self.world.size + self.world.rank) * self.batch
        return self.gather(self.indices[order.indices(start, self.batch)])

    def gather(self, indices: np.ndarray) -> Batch:
        """These samples, on the device."""
        rows = torch.from_numpy(indices)
        device = self.world.device
        labels = None if self.labels is None else self.labels[rows].to(device, non_blocking=True)
        if self._resident is not None:
            return Batch(to_float(self._resident[rows.to(device, non_blocking=True)]), labels)
        images = torch.from_numpy(self.source[indices])
        if device.type == "cuda":
            images = images.pin_memory()
        return Batch(to_float(images.to(device, non_blocking=True)), labels)

    def _move_to_gpu(self) -> Tensor | None:
        if self.world.device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.world.device)
        if self.source.nbytes > free // 4:
            return None
        return torch.from_numpy(np.array(self.source)).to(self.world.device)
