"""The one log-mel spectrogram of sounds: for training, vocoders, scores and export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from luoxia.nn.stft import STFT, Padding

# Slaney's scale: linear up to 1,000 Hz, then logarithmic.
LINEAR_HZ, BREAK_HZ, LOG_STEP = 200 / 3, 1000.0, math.log(6.4) / 27


@dataclass(frozen=True)
class MelConstants:
    """All that decides about a log-mel spectrogram; a run stores it with its model.

    >>> MelConstants.from_dict(MelConstants(8000, n_fft=512, hop=128).as_dict())
    MelConstants(sample_rate=8000, n_fft=512, hop=128, mels=80, low=0.0, high=4000.0, floor=1e-05, padding='center')
    """

    sample_rate: int
    n_fft: int = 1024
    hop: int = 256
    mels: int = 80
    low: float = 0.0
    high: float = 0.0
    """Hz; 0 becomes half the sample rate."""
    floor: float = 1e-5
    """Magnitudes below it count as it."""
    padding: Padding = "center"

    def __post_init__(self) -> None:
        if not self.high:
            object.__setattr__(self, "high", self.sample_rate / 2)
        if not 0 <= self.low < self.high <= self.sample_rate / 2:
            raise ValueError(f"mels from {self.low:g} to {self.high:g} Hz do not fit {self.sample_rate} Hz")

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MelConstants:
        """Read what ``as_dict`` gave; ``ValueError`` for anything else."""
        known = {own.name for own in fields(cls)}
        if not known >= values.keys():
            raise ValueError(
                f"unknown constants of a mel spectrogram: {', '.join(sorted(values.keys() - known))}"
            )
        return cls(**values)


def to_mel(hz: Tensor) -> Tensor:
    """Hz → mels, by Slaney's scale (Auditory Toolbox 1998)."""
    above = BREAK_HZ / LINEAR_HZ + (hz.clamp_min(BREAK_HZ) / BREAK_HZ).log() / LOG_STEP
    return torch.where(hz < BREAK_HZ, hz / LINEAR_HZ, above)


def to_hz(mel: Tensor) -> Tensor:
    """Mels → Hz."""
    edge = BREAK_HZ / LINEAR_HZ
    return torch.where(mel < edge, mel * LINEAR_HZ, BREAK_HZ * (LOG_STEP * (mel - edge)).exp())


def mel_filters(constants: MelConstants) -> Tensor:
    """Triangles over the bins of the STFT, each of area 2 / width in Hz: float32 (mels, bins)."""
    bins = torch.linspace(0, constants.sample_rate / 2, constants.n_fft // 2 + 1, dtype=torch.float64)
    low, high = to_mel(torch.tensor([constants.low, constants.high], dtype=torch.float64))
    corners = to_hz(torch.linspace(float(low), float(high), constants.mels + 2, dtype=torch.float64))
    left, peak, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (bins - left) / (peak - left), (right - bins) / (right - peak)
    triangles = torch.minimum(rising, falling).clamp_min(0)
    return (triangles * 2 / (right - left)).float()


class MelSpectrogram(nn.Module):
    """Waves → natural logarithms of mel magnitudes."""

    filters: Tensor

    def __init__(self, constants: MelConstants) -> None:
        """The transform with these constants; it has no parameters."""
        super().__init__()
        self.constants = constants
        self.stft = STFT(constants.n_fft, constants.hop, constants.padding)
        self.register_buffer("filters", mel_filters(constants), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """Waves (…, samples) in [−1, 1] → float32 (…, mels, ⌈samples / hop⌉), log(max(magnitude, floor))."""
        return self.of_spectrum(self.stft(waves))

    def of_spectrum(self, spectrum: Tensor) -> Tensor:
        """A spectrum (…, bins, frames) of this STFT → (…, mels, frames)."""
        magnitudes = (spectrum.real**2 + spectrum.imag**2 + 1e-18).sqrt()  # abs has no gradient at 0
        mels = self.filters.to(magnitudes.dtype) @ magnitudes
        return mels.clamp_min(self.constants.floor).log()


def log_mel(waves: Tensor, constants: MelConstants) -> Tensor:
    """``MelSpectrogram(constants)(waves)``, on the device of ``waves``."""
    spectrogram: Tensor = MelSpectrogram(constants).to(waves.device)(waves)
    return spectrogram
