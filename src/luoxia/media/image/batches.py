"""From uint8 arrays to batches on the device: one gather, no Python per sample.

``luoxia.training.batches.LoadedBatches`` over the same images gives the same batches, one image at a time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from luoxia.core.order import generator_for
from luoxia.media.image.images import ImageDataset
from luoxia.training.batches import Sampler
from luoxia.training.distributed import World
from luoxia.training.objective import Batch, Phase


def to_float(images: Tensor) -> Tensor:
    """uint8 (n, h, w, c) in 0 … 255 → float32 (n, c, h, w) in [−1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


class ImageBatches:
    """Batches of a data set, each a pure function of (seed, phase, index, rank).

    The data moves to the GPU whole when it fits in a quarter of the free memory; else it stays memory-mapped.
    """

    def __init__(
        self, dataset: ImageDataset, indices: np.ndarray, batch: int, seed: int, world: World, labeled: bool
    ) -> None:
        self.drawn = Sampler(indices, batch, seed, world)
        self.seed = seed
        self.world = world
        self.source = dataset.images
        self.labels = (
            torch.from_numpy(np.array(dataset.labels)) if labeled and dataset.labels is not None else None
        )
        self._resident = self._move_to_gpu()

    def __call__(self, phase: Phase, index: int) -> Batch:
        """Batch number ``index`` of a phase: every image once before any comes again."""
        return self.gather(self.drawn(phase, index))

    def gather(self, indices: np.ndarray) -> Batch:
        """These samples, on the device."""
        labels = None
        if self.labels is not None:
            labels = self.labels[torch.from_numpy(indices)].to(self.world.device, non_blocking=True)
        return Batch(self.pixels(indices), labels)

    def pixels(self, *places: np.ndarray) -> Tensor:
        """What the images hold at ``places``, indices of one, two or three dimensions, ready for a network."""
        device = self.world.device
        if self._resident is not None:
            rows = tuple(torch.from_numpy(place).to(device, non_blocking=True) for place in places)
            return to_float(self._resident[rows])
        images = torch.from_numpy(self.source[places])
        if device.type == "cuda":
            images = images.pin_memory()
        return to_float(images.to(device, non_blocking=True))

    def _move_to_gpu(self) -> Tensor | None:
        if self.world.device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.world.device)
        if self.source.nbytes > free // 4:
            return None
        return torch.from_numpy(np.array(self.source)).to(self.world.device)


class CropBatches(ImageBatches):
    """Batches of random crops, half of them mirrored with ``mirror``: one gather too, a pure function of the same."""

    def __init__(
        self,
        dataset: ImageDataset,
        indices: np.ndarray,
        batch: int,
        seed: int,
        world: World,
        *,
        size: tuple[int, int],
        mirror: bool,
    ) -> None:
        super().__init__(dataset, indices, batch, seed, world, labeled=False)
        self.size = size
        self.mirror = mirror
        self.room = (dataset.spec.height - size[0], dataset.spec.width - size[1])

    def __call__(self, phase: Phase, index: int) -> Batch:
        """Batch number ``index`` of a phase, each image cut at a place of its own."""
        chosen = self.drawn(phase, index)
        stream = generator_for("crop", self.seed, phase.name, index, self.world.rank)
        down, across, sides = stream.random_raw((3, len(chosen)))
        flips = sides % 2 == 1 if self.mirror else np.zeros(len(chosen), bool)
        return self.cut(chosen, down % (self.room[0] + 1), across % (self.room[1] + 1), flips)

    def gather(self, indices: np.ndarray) -> Batch:
        """These samples, cut out of the middle."""
        tops, lefts = (np.full(len(indices), room // 2) for room in self.room)
        return self.cut(indices, tops, lefts, np.zeros(len(indices), bool))

    def cut(self, indices: np.ndarray, tops: np.ndarray, lefts: np.ndarray, flips: np.ndarray) -> Batch:
        """These samples (n,), each from its own place (n,), (n,) on, left and right exchanged where ``flips`` (n,)."""
        height, width = self.size
        rows = tops.astype(np.int64)[:, None] + np.arange(height)
        columns = np.where(flips[:, None], np.arange(width)[::-1], np.arange(width))
        columns = lefts.astype(np.int64)[:, None] + columns
        return Batch(self.pixels(indices[:, None, None], rows[:, :, None], columns[:, None, :]))
