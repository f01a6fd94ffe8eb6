"""Values of pixels: −1 to 1 inside networks, 0 to 255 outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    pass


def to_uint8(images: Tensor) -> Tensor:
    """Float (n, c, h, w) in [−1, 1] → uint8 (n, h, w, c), rounded."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
