"""Sounds against the sounds that they should be: a file against a file, or a folder against a folder by names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.order import spread
from luoxia.core.skips import Unusable
from luoxia.media.audio.convert import read_sound
from luoxia.media.audio.keys import CompareSettings
from luoxia.media.audio.mel import MelConstants, MelSpectrogram
from luoxia.media.audio.sources import open_source
from luoxia.media.files import Files
from luoxia.metrics import intervals, waves
from luoxia.metrics.score import HIGHER, LOWER, Meaning, Measurement, Score
from luoxia.training.hardware import choose_device

Wave = NDArray[np.float32]
REFERENCE = "the same sounds backwards"
"""As loud, with the same frequencies, and wrong at every moment."""
WINDOW = 0.032
"""Seconds of a frame of the mel spectrogram, about; a quarter of it is the hop."""
MELS = 80
_MEANINGS = {
    "log-mel distance": LOWER(
        "Mean absolute difference of log-mel spectrograms: how near the sounds are in what is heard."
    ),
    "SI-SDR": HIGHER("Decibels of the sound over what differs from it, sample by sample; a delay ruins it."),
    "STOI": HIGHER("How much of speech would be understood, 0 to 1."),
    "PESQ": HIGHER("How good listeners would call the speech, 1 to 4.6."),
}
_PACKAGES = {"STOI": "pystoi", "PESQ": "pesq"}
LONGEST = 600
"""Seconds of a pair that are compared, from the beginning: both lie in memory."""


def compare(data: str, against: str, keys: CompareSettings) -> Measurement:
    """Scores of the sounds at ``data`` as estimates of those at ``against``, at the rate of the latter.

    Raises:
        UsageError: nothing is there, or no file has the name of another.
        LuoxiaError: no pair can be compared.
    """
    totals = _Totals(choose_device(keys.device))
    for name, estimate, reference in _pairs(data, against, keys):
        totals.add(name, estimate, reference)
    if not totals.pairs:
        raise LuoxiaError(
            f"no sound of {data} can be compared with one of {against} ({totals.refused[0]}): mend them"
        )
    return Measurement(totals.scores(keys.seed))


Read = Callable[[int | None, int | None], tuple[Wave, int]]
"""Decodes a file, at a rate and with as many channels as are asked for."""


def _pairs(data: str, against: str, keys: CompareSettings) -> Iterator[tuple[str, Read, Read]]:
    """(name, what reads the estimate, what reads the reference) of each pair."""
    with closing(open_source(data)) as estimates, closing(open_source(against)) as references:
        ours, theirs = (
            {_key(clip.item.name): i for i, clip in enumerate(s.clips)} for s in (estimates, references)
        )
        single = estimates.kind == references.kind == "file"
        shared = sorted(ours.keys() & theirs.keys())
        pairs = [("", 0, 0)] if single else [(key, ours[key], theirs[key]) for key in shared]
        if not pairs:
            raise UsageError(
                f"no sound of {data} is called as one of {against}: give the files that belong together the same name"
            )
        for row in spread(np.arange(len(pairs)), keys.n):
            _, i, j = pairs[row]
            name = references.clips[j].item.name
            yield (
                name,
                _reader(estimates.files, estimates.clips[i].item.name),
                _reader(references.files, name),
            )


def _key(name: str) -> str:
    """A name without its ending: a.flac belongs to a.wav."""
    return str(PurePosixPath(name).with_suffix(""))


def _reader(files: Files, name: str) -> Read:
    def read(rate: int | None, channels: int | None) -> tuple[Wave, int]:
        with files.open(name) as file:
            return read_sound(file, name, rate, channels, LONGEST)

    return read


@dataclass
class _Totals:
    """The values of all pairs, and of the same sounds backwards."""

    device: torch.device
    pairs: int = 0
    seconds: float = 0.0
    values: dict[str, list[float]] = field(default_factory=dict)
    null: dict[str, list[float]] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    rates: set[int] = field(default_factory=set)

    def add(self, name: str, read_estimate: Read, read_reference: Read) -> None:
        """Measure one pair; what cannot be read is noted."""
        try:
            reference, rate = read_reference(None, None)
            estimate, _ = read_estimate(rate, reference.shape[1])
        except Unusable as reason:
            self.refused.append(f"{name}: {reason}")
            return
        length = min(len(reference), len(estimate))
        reference, estimate = reference[:length], estimate[:length]
        self.pairs += 1
        self.seconds += length / rate
        self.rates.add(rate)
        for kept, other in ((self.values, estimate), (self.null, reference[::-1].copy())):
            for score, value in self._measured(other, reference, rate):
                kept.setdefault(score, [])
                if value is not None and math.isfinite(value):
                    kept[score].append(value)
                elif kept is self.values:
                    self.refusals[score] = self.refusals.get(score, 0) + 1

    def _measured(self, estimate: Wave, reference: Wave, rate: int) -> Iterator[tuple[str, float | None]]:
        yield "log-mel distance", self._log_mel(estimate, reference, rate)
        sides = zip(estimate.T, reference.T, strict=True)
        yield "SI-SDR", float(np.mean([waves.si_sdr(one, two) for one, two in sides]))
        one, two = estimate.mean(1), reference.mean(1)
        if waves.can_stoi():
            yield "STOI", waves.stoi(one, two, rate)
        if waves.can_pesq():
            to = waves.WIDE if rate >= waves.WIDE else waves.NARROW
            yield (
                f"PESQ-{'WB' if to == waves.WIDE else 'NB'}",
                waves.pesq(_at(one, rate, to), _at(two, rate, to), to),
            )

    def _log_mel(self, estimate: Wave, reference: Wave, rate: int) -> float:
        hop = 2 ** round(math.log2(WINDOW / 4 * rate))
        mel = MelSpectrogram(MelConstants(rate, 4 * hop, hop, MELS)).to(self.device)
        one, two = (
            mel(torch.from_numpy(wave.T.copy()).to(self.device)).cpu().numpy()
            for wave in (estimate, reference)
        )
        return waves.log_distance(one, two)

    def scores(self, seed: int) -> list[Score]:
        """Each score with its interval over pairs."""
        common: dict[str, str | int | float] = {
            "n": self.pairs,
            "rate": ", ".join(f"{rate:,} Hz" for rate in sorted(self.rates)),
            "seconds": round(self.seconds, 1),
            "unreadable": len(self.refused),
            "seed": seed,
            "reference": REFERENCE,
        }
        scores = []
        for name, values in self.values.items():
            if not values:
                continue
            value, low, high = intervals.mean(values)
            null = self.null.get(name) or []
            own = common | ({"mels": MELS} if "mel" in name else {})
            package = _PACKAGES.get(name.partition("-")[0])
            own |= {package: version(package)} if package else {}
            own |= {"refused": self.refusals[name]} if name in self.refusals else {}
            meaning: Meaning = _MEANINGS[name.partition("-NB")[0].partition("-WB")[0]]
            reference = float(np.mean(null)) if null else None
            scores.append(Score(name, value, low, high, reference, "authenticity", own, *meaning))
        return scores


def _at(wave: Wave, rate: int, to: int) -> Wave:
    import soxr

    resampled: Wave = wave if rate == to else soxr.resample(wave, rate, to)
    return resampled
