"""Small pieces that several networks share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization


def halvings(height: int, width: int, smallest: float = 4) -> int:
    """How often an image can be halved before its shorter side would fall below ``smallest``.

    28 → 2 (7 × 7), 32 → 3 (4 × 4), 64 → 4, 128 → 5.
    """
    return max(1, int(math.log2(min(height, width) / smallest)))


def coarse(height: int, width: int, levels: int) -> tuple[int, int]:
    """The size after ``levels`` halvings, rounded up: what a generator starts from."""
    return math.ceil(height / 2**levels), math.ceil(width / 2**levels)


def center_crop(x: Tensor, height: int, width: int) -> Tensor:
    """Cut the middle out of x (n, c, H, W) → (n, c, height, width): sizes that are no multiple of 2^levels."""
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


class SpectralNorm(nn.Module):
    """W → W / σ(W), its largest singular value (Miyato et al. 2018, arXiv:1802.05957, eq. 8).

    σ ≈ uᵀWv, one power iteration for u and v each time in training (algorithm 1). In float32 whatever the network
    computes in: a rounded σ would not bound anything.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows = weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(rows.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(rows.shape[1]), dim=0))
        for _ in range(15):
            self._iterate(rows)

    @torch.no_grad()
    def _iterate(self, rows: Tensor) -> None:
        self.v.copy_(F.normalize(rows.T @ self.u, dim=0))
        self.u.copy_(F.normalize(rows @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """A weight (out, …) → the same, its norm as a matrix about 1."""
        with torch.autocast(weight.device.type, enabled=False):
            rows = weight.float().flatten(1)
            if self.training:
                self._iterate(rows)
            sigma = self.u.clone() @ (
                rows @ self.v.clone()
            )  # copies: the next forward changes u and v in place
            return weight / sigma


def spectrally_normalized(network: nn.Module) -> nn.Module:
    """Divide every weight matrix by its largest singular value."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return network


def normalization(kind: str, channels: int) -> nn.Module:
    """``none``, ``batch``, or ``layer`` (over channels and pixels of one sample, so that penalties stay per sample)."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


class ClassVectors(nn.Embedding):
    """A learned vector for each class: a row of the weight."""

    class_axis = 0
    """The axis of the weight that numbers the classes; a fine-tuning carries what lies along it by name."""


class ClassInput(nn.Module):
    """A learned vector for each class, joined to a network's input (Mirza & Osindero 2014, arXiv:1411.1784, fig. 1)."""

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.embedding = ClassVectors(classes, features) if classes else None
        self.features = features if classes else 0

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """X (n, d) and labels (n,) → (n, d + features); x itself when unconditional."""
        if self.embedding is None:
            return x
        return torch.cat([x, self.embedding(labels).to(x.dtype)], dim=1)


class ClassPlane(nn.Module):
    """A learned plane for each class, joined to an image as one more channel: conditioning by concatenation."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.embedding = ClassVectors(classes, height * width) if classes else None
        self.channels = 1 if classes else 0

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Images (n, c, h, w) and labels (n,) → (n, c + 1, h, w); the images themselves when unconditional."""
        if self.embedding is None:
            return x
        plane = self.embedding(labels).view(-1, 1, *x.shape[2:]).to(x.dtype)
        return torch.cat([x, plane], dim=1)


class Critic(nn.Module):
    """The last layer of a discriminator: features (n, d) → logits (n,).

    With ``classes`` it is the projection discriminator (Miyato & Koyama 2018, arXiv:1802.05637, eq. 3):
    the logit gains the inner product of the features with a learned vector of the label.
    """

    def __init__(self, features: int, classes: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.projection = ClassVectors(classes, features) if classes else None

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Features (n, d), labels (n,) or None → logits (n,)."""
        logits: Tensor = self.linear(features).squeeze(1)
        if self.projection is not None:
            logits = logits + (features * self.projection(labels)).sum(1) / math.sqrt(features.shape[1])
        return logits
