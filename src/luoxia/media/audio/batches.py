"""Random crops of sounds as batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.order import generator_for, holdout_split
from luoxia.media.audio.data import AudioDataset
from luoxia.training.batches import Sampler
from luoxia.training.distributed import World
from luoxia.training.objective import Examples, Phase

Indices = NDArray[np.int64]


@dataclass
class AudioBatch(Examples):
    """Crops of sounds.

    ``waves``: float32 (n, channels, samples) in [−1, 1], zeros after the end of a sound that is shorter. ``lengths``:
    (n,) samples that are sound. ``clips``: (n,) the number of the sound in its data set. ``gains``: (n,) dB by which it
    was made louder. ``labels``: (n,) or None.
    """

    waves: Tensor
    lengths: Tensor
    clips: Tensor
    gains: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.waves)


@dataclass(frozen=True)
class Spans:
    """Stretches of a data set's samples that crops are taken from: each [start, stop) lies within one sound."""

    clips: Indices
    starts: Indices
    stops: Indices

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def samples(self) -> int:
        """Of all of them."""
        return int((self.stops - self.starts).sum())


def spans_of(dataset: AudioDataset, clips: Indices | None = None) -> Spans:
    """The whole of these sounds, or of all."""
    clips = np.arange(len(dataset)) if clips is None else np.asarray(clips, np.int64)
    return Spans(clips, dataset.offsets[clips], dataset.offsets[clips + 1])


def split(
    dataset: AudioDataset, fraction: float, seed: int, groups: list[str] | None = None
) -> tuple[Spans, Spans]:
    """(train, held-out) stretches, a pure function of the arguments.

    Whole sounds are held out, and all of one group together: ``groups`` (n,) may hold speakers, or texts as they are
    compared, so that none is learned and tested. Of fewer than 20 groups the last part of each sound is held out.
    """
    names = [str(index) for index in range(len(dataset))] if groups is None else groups
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    held = holdout_split(len(numbers), fraction, seed)[1]
    everything = spans_of(dataset)
    if len(held):
        out = np.isin([numbers[name] for name in names], held)
        return spans_of(dataset, np.flatnonzero(~out)), spans_of(dataset, np.flatnonzero(out))
    borders = everything.stops - ((everything.stops - everything.starts) * fraction).astype(np.int64)
    clips = everything.clips
    train, last = Spans(clips, everything.starts, borders), Spans(clips, borders, everything.stops)
    return train, _not_empty(last)


def _not_empty(spans: Spans) -> Spans:
    there = spans.stops > spans.starts
    return Spans(spans.clips[there], spans.starts[there], spans.stops[there])


class AudioBatches:
    """Batches of random crops, each a pure function of (seed, phase, index, rank).

    A stretch is drawn as often as crops fit into it, at random places, so that every second of sound is met about
    equally often, whatever file it is in.
    """

    def __init__(
        self, dataset: AudioDataset, spans: Spans, batch: int, samples: int, seed: int, world: World
    ) -> None:
        """Crops of so many ``samples``, ``batch`` of them at a time."""
        self.dataset, self.spans, self.samples, self.seed, self.world = dataset, spans, samples, seed, world
        often = np.maximum(1, -(-(spans.stops - spans.starts) // samples))
        self.drawn = Sampler(np.repeat(np.arange(len(spans)), often), batch, seed, world)

    def __call__(self, phase: Phase, index: int) -> AudioBatch:
        """Batch number ``index`` of a phase."""
        chosen = self.drawn(phase, index)
        stream = generator_for("crop", self.seed, phase.name, index, self.world.rank)
        room = np.maximum(0, self.spans.stops[chosen] - self.spans.starts[chosen] - self.samples)
        places = stream.random_raw(len(chosen)) % (room + 1).astype(np.uint64)
        return self.cut(chosen, places.astype(np.int64))

    def gather(self, chosen: Indices) -> AudioBatch:
        """The beginnings of these stretches."""
        return self.cut(chosen, np.zeros(len(chosen), np.int64))

    def cut(self, chosen: Indices, places: Indices) -> AudioBatch:
        """Crops of these stretches (n,), each from its own place (n,) in it on."""
        spans, clips = self.spans, self.spans.clips[chosen]
        starts = spans.starts[chosen] + places
        lengths = np.minimum(self.samples, spans.stops[chosen] - starts)
        waves = np.zeros((len(chosen), self.samples, self.dataset.spec.channels), np.int16)
        for row, start, length in zip(
            waves, starts, lengths, strict=True
        ):  # copies, thrice as fast as one gather
            row[:length] = self.dataset.waves[start : start + length]
        labels = None if self.dataset.labels is None else torch.from_numpy(self.dataset.labels[clips])
        batch = AudioBatch(
            torch.from_numpy(np.ascontiguousarray(waves.transpose(0, 2, 1))),
            torch.from_numpy(lengths),
            torch.from_numpy(clips),
            torch.from_numpy(self.dataset.gains[clips]),
            labels,
        ).to(self.world.device)  # fmt: skip
        batch.waves = batch.waves.float().div_(32768)
        return batch
