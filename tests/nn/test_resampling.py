"""Resampling against scipy's upfirdn, and its gradients against finite differences."""

import numpy as np
import pytest
import scipy.signal
import torch
from torch.autograd import gradcheck, gradgradcheck

from luoxia.nn.resampling import BINOMIAL, downsample, separable, upfirdn, upsample

RNG = np.random.default_rng()
CASES = [
    # kernel, up, down, padding (top, bottom, left, right)
    ((4, 4), (1, 1), (1, 1), (0, 0, 0, 0)),
    ((4, 4), (2, 2), (1, 1), (2, 1, 2, 1)),
    ((4, 4), (1, 1), (2, 2), (1, 1, 1, 1)),
    ((3, 5), (3, 2), (2, 3), (4, 0, 1, 6)),
    ((5, 2), (2, 1), (1, 2), (-1, 3, 2, -2)),
    ((12, 1), (2, 1), (1, 1), (-3, 12, 0, -1)),
]


def scipy_upfirdn(x, kernel, up, down, padding):
    """The same by scipy, axis by axis, for a separable kernel given as two lines."""
    for axis, (line, u, d) in enumerate(zip(kernel, up, down, strict=True)):
        before, after = padding[2 * axis : 2 * axis + 2]
        x = np.moveaxis(x, 2 + axis, -1)
        size = x.shape[-1]
        full = scipy.signal.upfirdn(line, x, up=u, down=1)  # starts len − 1 before the first whole overlap
        full = np.concatenate([full, np.zeros((*full.shape[:-1], 40))], -1)
        start = len(line) - 1 - before
        full = full[..., start:] if start >= 0 else np.pad(full, [(0, 0)] * 3 + [(-start, 0)])
        length = (size * u + before + after - len(line)) // d + 1
        x = np.moveaxis(full[..., ::d][..., :length], -1, 2 + axis)
    return x


@pytest.mark.parametrize(("size", "up", "down", "padding"), CASES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_upfirdn_is_scipys(size, up, down, padding, layout):
    x = RNG.standard_normal((2, 3, 7, 9))
    lines = [RNG.standard_normal(k) for k in size]
    kernel = torch.from_numpy(np.outer(*lines))
    ours = upfirdn(torch.from_numpy(x).to(memory_format=layout), kernel, up, down, padding)
    np.testing.assert_allclose(ours.numpy(), scipy_upfirdn(x, lines, up, down, padding), atol=1e-12)


@pytest.mark.parametrize(("size", "up", "down", "padding"), CASES)
def test_upfirdn_differentiates_twice(size, up, down, padding):
    kernel = torch.randn(size, dtype=torch.float64)
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)

    def twisted(x):  # upfirdn alone is linear: its second derivative would be nothing
        return upfirdn(x.sin(), kernel, up, down, padding).square()

    assert gradcheck(twisted, x) and gradgradcheck(twisted, x)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 2)])
def test_sampling_up_and_down_keeps_what_is_flat(size):
    kernel = separable()
    flat = torch.full((1, 1, *size), 3.0, dtype=torch.float64)
    up, down = upsample(flat, kernel), downsample(flat, kernel)
    assert up.shape[2:] == (2 * size[0], 2 * size[1])
    assert down.shape[2:] == (-(-size[0] // 2), -(-size[1] // 2))
    if min(size) > 2:
        torch.testing.assert_close(up[:, :, 1:-1, 1:-1], torch.full_like(up[:, :, 1:-1, 1:-1], 3.0))
        torch.testing.assert_close(down[:, :, 1:-1, 1:-1], torch.full_like(down[:, :, 1:-1, 1:-1], 3.0))


def test_sampling_up_is_four_times_the_adjoint_of_sampling_down():
    x, y = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(2, 3, 8, 10, dtype=torch.float64)
    kernel = separable()
    left, right = (upsample(x, kernel) * y).sum(), (x * downsample(y, kernel)).sum()
    assert left.item() == pytest.approx(4 * right.item(), rel=1e-6)


def test_the_filter_has_the_papers_taps():
    assert BINOMIAL == (1, 3, 3, 1)
    assert (separable() * 64).tolist() == [[1, 3, 3, 1], [3, 9, 9, 3], [3, 9, 9, 3], [1, 3, 3, 1]]


@pytest.mark.parametrize("up", [(1, 1), (2, 2)])
def test_half_precision_and_layout_are_kept(up):
    x = torch.randn(2, 8, 6, 6).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    y = upfirdn(x, separable(), up=up, padding=(2, 1, 2, 1))
    assert y.dtype == torch.bfloat16 and y.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        assert upfirdn(x.float(), separable(), up=up).dtype == torch.float32, "what is float32 stays so"
