"""How near an estimated signal is to its reference, sample by sample and frame by frame.

STOI and PESQ are computed by the packages ``pystoi`` and ``pesq`` where these are installed.
"""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.floating]
"""(samples,)."""
NARROW, WIDE = 8000, 16_000
"""The rates in Hz that PESQ takes."""
MOST_DECIBELS = 100.0
"""Of an estimate that is the reference: an infinite ratio has no mean."""


def si_sdr(estimate: Signal, reference: Signal) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), of signals without their means.

    NaN where the reference is silent; −100 to 100 otherwise.

    >>> t = np.arange(8000.0)
    >>> round(si_sdr(np.sin(t) + 0.1 * np.cos(t), np.sin(t)))
    20
    """
    estimate = np.asarray(estimate, np.float64) - np.mean(estimate, dtype=np.float64)
    reference = np.asarray(reference, np.float64) - np.mean(reference, dtype=np.float64)
    energy = float(reference @ reference)
    if energy == 0:
        return math.nan
    target = (estimate @ reference) / energy * reference
    noise = estimate - target
    above, below = float(target @ target), float(noise @ noise)
    if above == 0:
        return -MOST_DECIBELS
    ratio = 10 * math.log10(above / below) if below > 0 else MOST_DECIBELS
    return max(-MOST_DECIBELS, min(MOST_DECIBELS, ratio))


def log_distance(estimate: Signal, reference: Signal) -> float:
    """The mean absolute difference of two log spectrograms of equal shape."""
    return float(np.abs(np.asarray(estimate, np.float64) - np.asarray(reference, np.float64)).mean())


def can_stoi() -> bool:
    """Whether ``pystoi`` is installed."""
    return find_spec("pystoi") is not None


def can_pesq() -> bool:
    """Whether ``pesq`` is installed."""
    return find_spec("pesq") is not None


def stoi(estimate: Signal, reference: Signal, rate: int) -> float | None:
    """Short-time objective intelligibility, 0 … 1 (Taal et al. 2011); None where it refuses: too little speech."""
    from pystoi import stoi as compute

    if not np.any(reference):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # its word for fewer than 30 frames with speech
        try:
            value = float(compute(reference, estimate, rate, extended=False))
        except (RuntimeWarning, ValueError, IndexError):
            return None
    return value if math.isfinite(value) else None


def pesq(estimate: Signal, reference: Signal, rate: int) -> float | None:
    """Perceptual quality, 1 … 4.6 (ITU-T P.862.1 at 8 kHz, P.862.2 at 16 kHz).

    None where it refuses: silence, and what is very short.

    ``ValueError`` for other rates.
    """
    if rate not in (NARROW, WIDE):
        raise ValueError(f"PESQ takes {NARROW} or {WIDE} Hz, not {rate}")
    from pesq import PesqError
    from pesq import pesq as compute

    if not (np.any(reference) and np.any(estimate)):
        return None
    try:
        value = float(compute(rate, reference, estimate, "nb" if rate == NARROW else "wb"))
    except (PesqError, ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None
