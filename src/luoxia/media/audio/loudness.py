"""Loudness by ITU-R BS.1770-4: K-weighting, blocks of 400 ms, two gates. A level comes from its energy a block.

Sound that is shorter than a block has its plain RMS level instead.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BLOCK = 0.4
"""Seconds; blocks overlap by three quarters."""
HOPS = 4
OFFSET = -0.691
"""LUFS of a sine of 997 Hz at full scale are −3.01: the filters' gain there is taken off."""
SILENT, BELOW = -70.0, -10.0
"""The absolute gate in LUFS, and the relative one."""
# The analog prototypes of the two filters: at 48 kHz they give the coefficients of the recommendation.
SHELF_HZ, SHELF_Q, SHELF_DB = 1681.974450955533, 0.7071752369554196, 3.999843853973347
HIGHPASS_HZ, HIGHPASS_Q = 38.13547087602444, 0.5003270373238773


def k_weighting(rate: int) -> NDArray[np.float64]:
    """The two filters as second-order sections, (2, 6)."""
    k = math.tan(math.pi * min(SHELF_HZ, 0.49 * rate) / rate)
    high = 10 ** (SHELF_DB / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / SHELF_Q + k * k
    shelf = [
        (high + band * k / SHELF_Q + k * k) / a0, 2 * (k * k - high) / a0, (high - band * k / SHELF_Q + k * k) / a0,
        1.0, 2 * (k * k - 1) / a0, (1 - k / SHELF_Q + k * k) / a0,
    ]  # fmt: skip
    k = math.tan(math.pi * HIGHPASS_HZ / rate)
    a0 = 1 + k / HIGHPASS_Q + k * k
    highpass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / HIGHPASS_Q + k * k) / a0]
    return np.array([shelf, highpass])


class Meter:
    """Measures a sound that comes in blocks.

    >>> meter = Meter(48000)
    >>> meter.add(np.sin(2 * np.pi * 997 * np.arange(48000) / 48000)[:, None])
    >>> round(meter.loudness(), 1)
    -3.0
    """

    def __init__(self, rate: int, channels: int = 1) -> None:
        """A meter of sound at ``rate`` Hz."""
        self.hop = max(1, round(rate * BLOCK / HOPS))
        self._sections = k_weighting(rate)
        self._state = np.zeros((2, 2, channels))
        self._rest = np.zeros((0, channels))
        self._energies: list[NDArray[np.float64]] = []
        self._squares, self._samples = 0.0, 0

    def add(self, wave: NDArray[np.floating]) -> None:
        """The next samples (samples, channels), in [−1, 1]."""
        from scipy.signal import sosfilt

        if not len(wave):
            return
        wave = wave.astype(np.float64)
        self._squares += float((wave**2).sum())
        self._samples += len(wave)
        filtered, self._state = sosfilt(self._sections, wave, axis=0, zi=self._state)
        joined = np.concatenate([self._rest, filtered])
        whole = len(joined) // self.hop * self.hop
        self._rest = joined[whole:]
        if whole:
            hops = joined[:whole].reshape(-1, self.hop, joined.shape[1])
            self._energies.append((hops**2).mean(1).sum(1))

    def loudness(self) -> float:
        """LUFS of all that was added; −inf for silence."""
        hops = np.concatenate([np.zeros(0), *self._energies])
        if len(hops) < HOPS:
            return _level(self._squares / max(1, self._samples), 0.0)
        blocks = np.lib.stride_tricks.sliding_window_view(hops, HOPS).mean(1)
        loud = blocks[blocks > _energy(SILENT)]
        if len(loud):
            loud = loud[loud > loud.mean() * 10 ** (BELOW / 10)]
        return _level(float(loud.mean()) if len(loud) else 0.0)


def _level(energy: float, offset: float = OFFSET) -> float:
    return offset + 10 * math.log10(energy) if energy > 0 else -math.inf


def _energy(level: float) -> float:
    return float(10 ** ((level - OFFSET) / 10))
