"""A generator of images as other toolkits see it."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from luoxia.interchange.onnx import ExportModule, origin_metadata
from luoxia.tasks.image_generation.model import ImageGenerator
from luoxia.tasks.image_generation.styles import has_styles


class GeneratorModule(ExportModule):
    """z, and the controls that the network has, → images in [−1, 1].

    ``z`` is float32 (n, latent); ``labels`` int64 (n,), where it is conditional; ``truncation`` ψ float32 (), which
    pulls w towards its mean, where there is a mapping. Noise, where a network takes any, is its constant one.
    ``images`` are float32 (n, channels, height, width).
    """

    def __init__(self, generator: ImageGenerator) -> None:
        super().__init__()
        self.network = generator.network
        self.styled = has_styles(generator.network)
        self.classes = generator.classes if generator.conditional else ()
        self.details = generator.details
        self.eval()

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: Tensor | None = None) -> Tensor:
        """Z (n, latent), labels (n,), truncation () → (n, channels, height, width)."""
        if not self.styled:
            images: Tensor = self.network(z, labels)
            return images.clamp(-1, 1)
        network: Any = self.network
        assert truncation is not None
        w = network.mean_w + truncation * (network.map(z, labels) - network.mean_w)
        styled: Tensor = network.synthesize(w)
        return styled.clamp(-1, 1)

    def inputs(self, n: int, seed: int) -> dict[str, Tensor]:
        """Random inputs by name, in their order."""
        rng = torch.Generator().manual_seed(seed)
        drawn = {"z": torch.randn(n, int(self.network.latent), generator=rng)}  # type: ignore[arg-type]
        if self.classes:
            drawn["labels"] = torch.randint(len(self.classes), (n,), generator=rng)
        if self.styled:
            drawn["truncation"] = torch.rand((), generator=rng)
        return drawn

    def metadata(self) -> dict[str, str]:
        """Where it comes from, and what its classes are called."""
        classes = json.dumps(list(self.classes), ensure_ascii=False)
        return {**origin_metadata(self.details), "classes": classes}
