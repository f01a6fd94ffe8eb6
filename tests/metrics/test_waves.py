"""Distances of signals against closed forms; judges that refuse say None."""

import math

import numpy as np
import pytest

from luoxia.metrics import waves

T = np.arange(8000) / 8000
RNG = np.random.default_rng(0)


def test_si_sdr_ignores_scale_and_mean() -> None:
    x, y = np.sin(2 * np.pi * 50 * T), np.sin(2 * np.pi * 70 * T)
    for ratio in (0.01, 0.1, 1, 10):
        expected = -20 * math.log10(ratio)
        assert abs(waves.si_sdr(3 * (x + ratio * y) + 1, x - 2) - expected) < 1e-6
    assert waves.si_sdr(x, x) == 100 and waves.si_sdr(np.zeros(8000), x) == -100
    assert math.isnan(waves.si_sdr(x, np.full(8000, 0.5)))


def test_a_log_distance() -> None:
    assert waves.log_distance(np.array([[1.0, 2]]), np.array([[2.0, 0]])) == 1.5


def test_stoi_orders_noise_and_refuses_what_is_short() -> None:
    pytest.importorskip("pystoi")
    speech = RNG.standard_normal(20_000) * (1 + np.sin(2 * np.pi * 4 * np.arange(20_000) / 10_000))
    clean, noisy = (
        waves.stoi(speech + level * RNG.standard_normal(20_000), speech, 10_000) for level in (0.1, 2)
    )
    assert clean is not None and noisy is not None and 0.95 < clean <= 1 and noisy < clean
    assert waves.stoi(speech[:1000], speech[:1000], 10_000) is None
    assert waves.stoi(np.zeros(20_000), np.zeros(20_000), 10_000) is None


def test_pesq_refuses_silence_and_what_is_short() -> None:
    pytest.importorskip("pesq")
    speech = RNG.standard_normal(16_000) * (1 + np.sin(2 * np.pi * 4 * np.arange(16_000) / 8000))
    value = waves.pesq(speech, speech, 8000)
    assert value is not None and value > 4
    assert waves.pesq(np.zeros(16_000), np.zeros(16_000), 8000) is None
    assert waves.pesq(speech[:500], speech[:500], 8000) is None
    with pytest.raises(ValueError, match="PESQ takes"):
        waves.pesq(speech, speech, 44_100)
