"""ADA's color transforms (arXiv:2006.06676, appendix B): brightness, contrast, luma flip, hue, saturation.

One affine map of RGB for each image. All five keep the gray axis v = (1, 1, 1)/√3 in place, so the map is
A = c · (±vvᵀ + s · R(θ)(I − vvᵀ)): contrast c, saturation s, rotation by θ around v.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from luoxia.adversarial.ada.draws import lognormal, maybe
from luoxia.training.objective import Rng

BRIGHTNESS = 0.2  # standard deviation, in [-1, 1]
CONTRAST, SATURATION = 0.5, 1.0  # standard deviations of log2


def recolor(x: Tensor, p: Tensor, rng: Rng) -> Tensor:
    """Each of the five with probability p; x (n, c, h, w). Alpha, the last of 2 or 4 channels, is left alone."""
    n, channels = x.shape[:2]
    brightness = maybe(rng.normal(n) * BRIGHTNESS, 0.0, p, rng)
    contrast = maybe(lognormal(n, CONTRAST, rng), 1.0, p, rng)
    flip = maybe((rng.uniform(n) < 0.5) * -2.0 + 1.0, 1.0, p, rng)
    hue = maybe((rng.uniform(n) * 2 - 1) * math.pi, 0.0, p, rng)
    saturation = maybe(lognormal(n, SATURATION, rng), 1.0, p, rng)
    colors = 1 if channels <= 2 else 3
    matrix, offset = affine(brightness, contrast, flip, hue, saturation)
    if colors == 1:  # on the gray axis
        matrix, offset = (flip * contrast)[:, None, None], offset[:, :1]
    y = matrix.to(x) @ x[:, :colors].flatten(2) + offset.to(x)[:, :, None]
    y = y.view(n, colors, *x.shape[2:])
    return torch.cat([y, x[:, colors:]], 1) if channels > colors else y


def affine(
    brightness: Tensor, contrast: Tensor, flip: Tensor, hue: Tensor, saturation: Tensor
) -> tuple[Tensor, Tensor]:
    """A (n, 3, 3) and offset (n, 3) of x ↦ Ax + offset, of values (n,) applied in that order."""
    gray = torch.full((3, 3), 1 / 3, dtype=hue.dtype, device=hue.device)
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]).to(hue) / math.sqrt(3)  # x ↦ v × x
    rest = torch.eye(3).to(hue) - gray

    def of(values: Tensor) -> Tensor:
        return values[:, None, None]

    turned = of(hue.cos()) * rest + of(hue.sin()) * cross
    matrix = of(contrast) * (of(flip) * gray + of(saturation) * turned)
    return matrix, (flip * contrast * brightness)[:, None].expand(-1, 3)
