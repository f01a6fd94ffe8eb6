"""Fréchet and kernel distances against torchmetrics and other independent computations."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch

from luoxia.core.errors import LuoxiaError
from luoxia.metrics.frechet import Gaussian, frechet_distance, frechet_interval
from luoxia.metrics.kid import kernel_distance, mmd2


class Identity(torch.nn.Module):
    num_features = 24

    def forward(self, x):
        return x


@pytest.fixture
def sets():
    rng = np.random.default_rng()  # fresh on purpose: the identities hold for any features
    mix = rng.normal(size=(24, 24))
    return rng.normal(size=(300, 24)) @ mix, rng.normal(0.3, 1.2, size=(250, 24)) @ mix


def distance(x, y):
    return frechet_distance(Gaussian.fit(x), Gaussian.fit(y))


def test_frechet_equals_torchmetrics(sets):
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Identity(), input_img_size=(24,), normalize=True)
    metric.set_dtype(torch.float64)
    for x, real in zip(sets, (False, True), strict=True):
        metric.update(torch.from_numpy(x), real=real)
    assert distance(*sets) == pytest.approx(float(metric.compute()), rel=1e-6)


def test_frechet_equals_sqrtm(sets):
    x, y = sets
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(a @ b).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root)
    assert distance(x, y) == pytest.approx(expected, rel=1e-8)
    assert frechet_interval(x, Gaussian.fit(y)).value == pytest.approx(expected, rel=1e-8)


def test_frechet_of_singular_constant_and_identical_sets(sets):
    x, y = sets
    assert distance(x, x) == pytest.approx(0, abs=1e-8 * np.trace(np.cov(x.T)))
    assert distance(np.ones((5, 3)), np.ones((4, 3)) * 2) == pytest.approx(3)
    assert frechet_interval(np.ones((5, 3)), Gaussian.fit(np.ones((4, 3)))).value == 0
    assert np.isfinite(frechet_interval(x[:2], Gaussian.fit(y[:2]))).all()
    # rank 2 and 9 in 24 dimensions: the nuclear norm of one data matrix times the other is the cross term
    u, v = (z - z.mean(0) for z in (x[:3], y[:10]))
    cross = np.linalg.svd(u @ v.T, compute_uv=False).sum() / np.sqrt(2 * 9)
    shift = ((x[:3].mean(0) - y[:10].mean(0)) ** 2).sum()
    expected = shift + (u**2).sum() / 2 + (v**2).sum() / 9 - 2 * cross
    assert distance(x[:3], y[:10]) == pytest.approx(expected, rel=1e-6)


def test_frechet_interval_is_as_wide_as_fresh_draws_vary():
    rng = np.random.default_rng(3)
    real = Gaussian.fit(rng.normal(size=(4000, 6)))
    draws = [frechet_interval(rng.normal(0.4, 1.3, size=(400, 6)), real) for _ in range(150)]
    spread = np.std([d.value for d in draws])
    width = np.mean([(d.high - d.low) / 2 / 1.96 for d in draws])
    assert width == pytest.approx(spread, rel=0.25)


def test_frechet_refuses_one_sample_and_nan():
    with pytest.raises(LuoxiaError, match="two samples"):
        Gaussian.fit(np.ones((1, 3)))
    with pytest.raises(LuoxiaError, match="not finite"):
        Gaussian.fit(np.full((3, 3), np.nan))


def test_kid_equals_torchmetrics(sets):
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = sets[0][:250] / 10, sets[1] / 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=250, normalize=True)
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=False)
    metric.update(torch.from_numpy(y), real=True)
    assert mmd2(x, y) == pytest.approx(float(metric.compute()[0]), rel=1e-6)


def test_kid_by_loops_and_its_interval():
    rng = np.random.default_rng()
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(6, 4))

    def k(a, b):
        return (float(np.dot(a, b)) / 4 + 1) ** 3

    xx = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert mmd2(x, y) == pytest.approx(xx + yy - 2 * xy)
    same = kernel_distance(rng.normal(size=(400, 4)), rng.normal(size=(400, 4)))
    assert same.low < same.value < same.high
    far = kernel_distance(rng.normal(1, 1, size=(400, 4)), rng.normal(size=(400, 4)))
    assert far.low > 0
    assert kernel_distance(x[:2], y[:2]).low is None
    with pytest.raises(LuoxiaError, match="two samples"):
        kernel_distance(x[:1], y)
