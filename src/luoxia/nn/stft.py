"""The short-time Fourier transform and its exact inverse, frame by frame."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["center", "causal"]


class STFT(nn.Module):
    """Frames of ``n_fft`` samples every ``hop``, under a Hann window: ⌈samples / hop⌉ of them.

    "center": frame i is centered on samples i · hop … (i + 1) · hop, so that it looks (n_fft − hop) / 2 samples ahead.
    "causal": frame i ends with sample (i + 1) · hop − 1 and looks ahead by none. Zeros surround the signal.
    ``inverse`` adds the frames up again under the same window and divides by the sum of its squares (Griffin and Lim
    1984, equation 6), so that it gives back the signal.

    >>> transform, x = STFT(64, 16), torch.randn(2, 100)
    >>> spectrum = transform(x)
    >>> spectrum.shape, bool((transform.inverse(spectrum, 100) - x).abs().max() < 1e-5)
    (torch.Size([2, 33, 7]), True)
    """

    window: Tensor

    def __init__(self, n_fft: int, hop: int, padding: Padding = "center") -> None:
        """``ValueError`` where frames leave gaps, or cannot be laid out so."""
        super().__init__()
        if not 0 < hop <= n_fft // 2 or (n_fft - hop) % 2:
            raise ValueError(
                f"a hop of {hop} does not fit frames of {n_fft}: both even, hop at most half of n_fft"
            )
        self.n_fft, self.hop = n_fft, hop
        self.before = n_fft - hop if padding == "causal" else (n_fft - hop) // 2
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def bins(self) -> int:
        """Frequencies: n_fft / 2 + 1."""
        return self.n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """How many frames so many samples have."""
        return -(-samples // self.hop)

    def forward(self, x: Tensor) -> Tensor:
        """Signals x (…, samples) → complex (…, bins, frames); computed in float32 at least."""
        x = x if x.dtype == torch.float64 else x.float()
        whole = self.frames(x.shape[-1]) * self.hop
        after = whole - x.shape[-1] + self.n_fft - self.hop - self.before
        padded = F.pad(x, (self.before, after))
        framed = padded.unfold(-1, self.n_fft, self.hop)  # (…, frames, n_fft)
        spectrum: Tensor = torch.fft.rfft(framed * self.window.to(x.dtype))
        return spectrum.transpose(-1, -2)

    def inverse(self, spectrum: Tensor, samples: int | None = None) -> Tensor:
        """Complex (…, bins, frames) → signals (…, samples), of frames · hop samples where None is given."""
        frames = torch.fft.irfft(spectrum.transpose(-1, -2), n=self.n_fft)  # (…, frames, n_fft)
        return self.overlap_add(frames, samples)

    def overlap_add(self, frames: Tensor, samples: int | None = None) -> Tensor:
        """Frames (…, frames, n_fft) in time, before their window → signals (…, samples)."""
        window = self.window.to(frames.dtype)
        count = frames.shape[-2]
        end = self.before + (count * self.hop if samples is None else samples)
        added = self._added(frames * window)[..., self.before : end]
        weight = self._added((window**2).expand(count, -1))[self.before : end]
        return added / weight.clamp_min(1e-11)

    def _added(self, frames: Tensor) -> Tensor:
        """Frames (…, frames, n_fft), each ``hop`` later than the one before, summed: (…, samples)."""
        parts = -(-self.n_fft // self.hop)
        whole = F.pad(frames, (0, parts * self.hop - self.n_fft))
        cut = whole.reshape(*frames.shape[:-1], parts, self.hop)
        late = [
            F.pad(cut[..., i, :], (0, 0, i, parts - 1 - i)) for i in range(parts)
        ]  # (…, frames + parts − 1, hop)
        return torch.stack(late).sum(0).flatten(-2)
