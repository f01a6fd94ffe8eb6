"""How unlike two images look: features of several depths of an extractor's network, and their pixels."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Mapped(Protocol):
    """An extractor that shows the maps inside its network."""

    def to(self, device: torch.device) -> None:
        """Compute the maps there."""
        ...

    def maps(self, images: Tensor) -> list[Tensor]:
        """Images (n, c, h, w) in [−1, 1] → feature maps (n, …), the finest first; differentiable."""
        ...


class Perceptual:
    """The distance of Zhang et al. 2018 (arXiv:1801.03924, eq. 1) without learned weights, and of the pixels.

    At each depth, features are normalized over the channels and their squared differences averaged over the pixels.
    Without an extractor only the pixels count: the mean squared difference of images in [−1, 1], and of the same at a
    quarter of the size.
    """

    def __init__(self, extractor: Mapped | None) -> None:
        self.extractor = extractor

    def __call__(self, images: Tensor, target: Tensor) -> Tensor:
        """Images (n, c, h, w) against target (1, c, h, w) → (n,)."""
        gap = _mean_square(images - target)
        if self.extractor is None:
            return gap + _mean_square(F.avg_pool2d(images - target, 4, ceil_mode=True))
        with torch.no_grad():
            wanted = self.extractor.maps(target)
        for found, own in zip(self.extractor.maps(images), wanted, strict=True):
            gap = gap + (_unit(found) - _unit(own)).square().sum(1).mean((1, 2))
        return gap


def _unit(x: Tensor) -> Tensor:
    """Features (n, c, h, w) of norm 1 over the channels."""
    return x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()


def _mean_square(x: Tensor) -> Tensor:
    return x.square().mean((1, 2, 3))
