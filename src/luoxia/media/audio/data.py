"""Data sets of sounds: any source, decoded and resampled once into memory-mapped 16-bit samples."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from luoxia.core.cache import cache_folder, entry_of, read_entry
from luoxia.core.errors import LuoxiaError
from luoxia.core.names import many
from luoxia.core.skips import Skipped, Unusable
from luoxia.media.audio.convert import Conversion, Converted
from luoxia.media.audio.keys import DataSettings
from luoxia.media.audio.looks import Header
from luoxia.media.audio.sources import Source, open_source
from luoxia.media.labels import class_names

CACHE_VERSION = 1  # raise it when the rule in convert.py changes
Progress = Callable[[int, int], None]
Wave = NDArray[np.int16]


@dataclass(frozen=True)
class AudioSpec:
    """All that a recipe may know of its data: Hz, channels (1 or 2), and the number of classes (0: unlabeled)."""

    rate: int
    channels: int
    classes: int = 0


@dataclass(frozen=True)
class AudioDataset:
    """Decoded sounds behind each other, memory-mapped and read-only; ``n`` is ``len(dataset)``."""

    waves: Wave = field(repr=False)  # int16 (samples of all, channels)
    offsets: NDArray[np.int64] = field(repr=False)  # (n + 1,): sound i is waves[offsets[i] : offsets[i + 1]]
    gains: NDArray[np.float32] = field(repr=False)  # (n,) dB by which each was made louder
    labels: NDArray[np.int64] | None = field(repr=False)  # (n,), an index into classes
    classes: tuple[str, ...]  # () when unlabeled
    spec: AudioSpec
    fingerprint: str  # hex digest of the content and of the conversion
    names: list[str] = field(repr=False)  # relative to the source
    source: str  # what a person reads
    skipped: list[Skipped] = field(repr=False)
    texts: list[str | None] | None = field(default=None, repr=False)  # n texts, if there are any
    fields: dict[str, list[str | None]] = field(default_factory=dict, repr=False)  # speaker: n values
    notes: tuple[str, ...] = ()  # what a person should know of how they were read

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Wave, int | None]:
        """Sound ``index``, int16 (samples, channels), and its label."""
        wave = self.waves[self.offsets[index] : self.offsets[index + 1]]
        return wave, None if self.labels is None else int(self.labels[index])

    @property
    def seconds(self) -> float:
        """The length of all sounds together."""
        return len(self.waves) / self.spec.rate


def open_audio(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    mono: bool | None = None,
    loudness: float | None = -23.0,
    pattern: str | None = None,
    *,
    progress: Progress | None = None,
) -> AudioDataset:
    """Open sounds of any source, decoded and resampled once into the cache.

    Args:
        path: a folder of sounds; a folder of class folders; a folder with ``metadata.csv`` or ``.jsonl`` (columns
            file_name, and label, text or others, which become fields); a zip of any of these; one file.
        sample_rate: Hz. None: that of most of the sound.
        mono: whether all is mixed into one channel; False keeps two. None: two if most of the sound has two.
        loudness: LUFS that each sound is brought to, see ``luoxia.media.audio.convert``; None: as it is.
        pattern: what file names tell: ``{label}_{speaker}_*``.
        progress: called with (done, total) sounds while they are decoded, not when the cache has them.

    Returns:
        The data set; files that could not be used are listed in ``skipped``.

    Raises:
        UsageError: a bad argument, or nothing at ``path``.
        LuoxiaError: no sound can be used, or the cache cannot be written.
    """
    keys: DataSettings = DataSettings.from_settings(
        {"sample_rate": sample_rate, "mono": mono, "loudness": loudness, "pattern": pattern}
    )
    with closing(open_source(path, keys.pattern)) as source:
        to = plan(source, keys)
        return entry_of(
            _entry(source, to),
            lambda entry: _read(entry, source, to),
            lambda folder: _Builder(source, to, progress).build(folder),
        )


def plan(source: Source, keys: DataSettings) -> Conversion:
    """Decide the conversion; raises LuoxiaError when no sound is usable."""
    headers = source.usable()
    rates: Counter[int] = Counter()
    for header in headers:
        rates[header.rate] += header.samples // header.rate + 1
    rate = keys.sample_rate or rates.most_common(1)[0][0]
    two = sum(header.seconds for header in headers if header.channels >= 2)
    mono = keys.mono if keys.mono is not None else two <= sum(header.seconds for header in headers) / 2
    return Conversion(rate, 1 if mono else 2, keys.loudness)


def cached(source: Source, to: Conversion) -> AudioDataset | None:
    """What the cache has of a source; a damaged entry is removed."""
    return read_entry(_entry(source, to), lambda entry: _read(entry, source, to))


def fingerprint_of(source: Source, to: Conversion) -> str:
    """Return 32 hex digits that stand for the content and for the conversion."""
    key = [CACHE_VERSION, source.digest(), *astuple(to)]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]


def _entry(source: Source, to: Conversion) -> Path:
    return cache_folder() / "sounds" / fingerprint_of(source, to)


def _read(entry: Path, source: Source, to: Conversion) -> AudioDataset:
    facts = json.loads((entry / "dataset.json").read_text("utf-8"))
    waves = np.load(entry / "waves.npy", mmap_mode="r")
    offsets, gains = np.load(entry / "offsets.npy"), np.load(entry / "gains.npy")
    labels = np.load(entry / "labels.npy") if facts["classes"] else None
    if not len(facts["names"]) == len(offsets) - 1 == len(gains) or offsets[-1] != len(waves):
        raise ValueError("counts differ")
    return AudioDataset(
        waves=waves,
        offsets=offsets,
        gains=gains,
        labels=labels,
        classes=tuple(facts["classes"]),
        spec=AudioSpec(to.rate, waves.shape[1], len(facts["classes"])),
        fingerprint=entry.name,
        names=facts["names"],
        source=source.title,
        skipped=sorted(
            [*(Skipped(**skip) for skip in facts["skipped"]), *source.unread], key=lambda skip: skip.name
        ),
        texts=facts["texts"],
        fields=facts["fields"],
        notes=tuple(source.notes),
    )


class _Builder:
    """Decodes a source into one folder of the cache."""

    def __init__(self, source: Source, to: Conversion, progress: Progress | None) -> None:
        self.source, self.to, self.progress = source, to, progress
        self.kept: list[int] = []
        self.offsets, self.gains = [0], list[float]()
        self.skipped = list(source.skipped)

    def build(self, folder: Path) -> None:
        """Write waves.npy, offsets.npy, gains.npy, labels.npy and dataset.json.

        Samples are appended block by block, so that no sound is whole in memory, and a full disk is an error.
        """
        with (folder / "waves.npy").open("wb") as file:
            start = self._write_header(file, 2**62)
            for index in range(len(self.source.clips)):
                self._write_clip(index, file)
                if self.progress is not None:
                    self.progress(index + 1, len(self.source.clips))
            file.seek(0)
            if self._write_header(file, self.offsets[-1]) != start:  # numpy leaves room for any count
                raise AssertionError("the header of a .npy file changed its length")
        if not self.kept:
            skip = self.skipped[-1]
            raise LuoxiaError(
                f"none of the {many(len(self.source.clips), 'sound')} in {self.source.title} can be used"
                f" ({skip.name}: {skip.reason}): give other files"
            )
        np.save(folder / "offsets.npy", np.array(self.offsets, np.int64))
        np.save(folder / "gains.npy", np.array(self.gains, np.float32))
        self._write_facts(folder)

    def _write_header(self, file: BinaryIO, count: int) -> int:
        facts = {"descr": "<i2", "fortran_order": False, "shape": (count, self.to.channels)}
        np.lib.format.write_array_header_1_0(file, facts)
        return file.tell()

    def _write_clip(self, index: int, file: BinaryIO) -> None:
        clip = self.source.clips[index]
        try:
            if not isinstance(clip.header, Header):
                raise Unusable(clip.header)
            with (
                self.source.open(index) as content,
                closing(Converted(content, clip.item.name, self.to)) as sound,
            ):
                for block in sound.blocks():
                    file.write(block.astype("<i2").tobytes())
                self.offsets.append(self.offsets[-1] + sound.samples)
                self.gains.append(sound.gain)
                self.kept.append(index)
        except Unusable as reason:
            self.skipped.append(Skipped(clip.item.name, str(reason)))

    def _write_facts(self, folder: Path) -> None:
        clips = [self.source.clips[index] for index in self.kept]
        labels = [clip.item.label for clip in clips]
        classes = class_names(labels) if None not in labels else []
        if classes:
            position = {name: index for index, name in enumerate(classes)}
            np.save(folder / "labels.npy", np.array([position[str(label)] for label in labels], np.int64))
        texts = [clip.item.text for clip in clips]
        fields = sorted({key for clip in clips for key in clip.fields})
        facts = {
            "names": [clip.item.name for clip in clips],
            "classes": classes,
            "texts": texts if any(texts) else None,
            "fields": {key: [clip.fields.get(key) for clip in clips] for key in fields},
            "skipped": [asdict(skip) for skip in sorted(self.skipped, key=lambda skip: skip.name)],
        }
        (folder / "dataset.json").write_text(json.dumps(facts), "utf-8")
