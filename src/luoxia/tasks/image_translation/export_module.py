"""One direction of a translator of images as other toolkits see it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from luoxia.interchange.onnx import ExportModule, origin_metadata
from luoxia.tasks.image_translation.model import ImageTranslator
from luoxia.tasks.image_translation.networks.cyclegan import SMALLEST, STRIDE

LONGEST = 4096
"""Pixels a side that an exported translator takes at most."""


class TranslatorModule(ExportModule):
    """``source``, float32 (n, channels, height, width) in [−1, 1] → ``images``, as large: their translations.

    Sides are multiples of 4, from 16 to ``LONGEST`` pixels.
    """

    def __init__(self, translator: ImageTranslator, direction: str) -> None:
        super().__init__()
        self.network = translator.network(direction)
        self.channels = translator.channels
        self.details = translator.details
        self.direction = direction
        self.eval()

    def forward(self, source: Tensor) -> Tensor:
        """(n, channels, height, width) in [−1, 1] → the same."""
        images: Tensor = self.network(source)
        return images

    def inputs(self, n: int, seed: int) -> dict[str, Tensor]:
        """Noise, of another size for each n."""
        rng = torch.Generator().manual_seed(seed)
        size = (n, self.channels, 2 * SMALLEST + STRIDE * n, 4 * SMALLEST)
        return {"source": 2 * torch.rand(size, generator=rng) - 1}

    def dynamic(self) -> dict[str, Any]:
        """The batch, and both sides."""
        most, least = LONGEST // STRIDE, 2 * SMALLEST // STRIDE
        height, width = (STRIDE * torch.export.Dim(name, min=least, max=most) for name in ("rows", "columns"))
        return {"source": {0: torch.export.Dim.DYNAMIC, 2: height, 3: width}}

    def metadata(self) -> dict[str, str]:
        """Where it comes from, and its direction."""
        return {**origin_metadata(self.details), "direction": self.direction}
