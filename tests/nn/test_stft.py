"""The short-time Fourier transform against torch's and a loop; its inverse gives back the signal."""

import pytest
import torch

from luoxia.nn.stft import STFT


@pytest.mark.parametrize("padding", ["center", "causal"])
@pytest.mark.parametrize(("n_fft", "hop"), [(64, 16), (64, 32), (40, 10), (320, 80), (320, 160)])
@pytest.mark.parametrize("samples", [1, 79, 80, 1000])
def test_the_inverse_is_the_identity(n_fft: int, hop: int, samples: int, padding: str) -> None:
    transform = STFT(n_fft, hop, padding).double()  # type: ignore[arg-type]
    x = torch.randn(2, 3, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spectrum = transform(x)
    assert spectrum.shape == (2, 3, transform.bins, transform.frames(samples))
    back = transform.inverse(spectrum, samples)
    assert back.shape == x.shape and (back - x).abs().max() < 1e-9
    assert (transform.float()(x.float()) - spectrum).abs().max() < 1e-4


def test_frames_are_torchs() -> None:
    x = torch.randn(2, 480)
    padded = torch.nn.functional.pad(x, (24, 24))
    expected = torch.stft(padded, 64, 16, window=torch.hann_window(64), center=False, return_complex=True)
    assert torch.allclose(STFT(64, 16)(x), expected, atol=1e-5)


def test_a_causal_frame_sees_nothing_ahead() -> None:
    transform, x = STFT(64, 16, "causal"), torch.randn(1, 320)
    changed = x.clone()
    changed[:, 160:] += 1
    ahead = (transform(x) - transform(changed)).abs().amax((0, 1))
    assert not ahead[:10].any() and ahead[10:].all()


def test_gradients_reach_the_signal() -> None:
    x = torch.randn(1, 100, dtype=torch.float64, requires_grad=True)
    transform = STFT(16, 4).double()
    assert torch.autograd.gradcheck(
        lambda x: transform.inverse(transform(x) * 0.5, 100), (x,), fast_mode=True
    )


@pytest.mark.parametrize(("n_fft", "hop"), [(64, 0), (64, 40), (64, 15)])
def test_frames_that_cannot_be_laid_out(n_fft: int, hop: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        STFT(n_fft, hop)
