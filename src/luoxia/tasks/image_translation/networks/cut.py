"""CUT's generator (Park et al. 2020, arXiv:2007.15651, section 3): one direction, its encoder compared by patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.tasks.image_translation.networks.cyclegan import STRIDE, Generator, GeneratorConfig, fit


class ContrastiveGenerator(nn.Module):
    """A translator, and the heads that project its encoder's features to where patches are compared (the paper's H_l).

    A head is an MLP of two layers of 256 units; its results have length 1 (appendix C.1).
    """

    memory_format = torch.channels_last

    def __init__(self, config: GeneratorConfig, dimensions: int = 256) -> None:
        super().__init__()
        self.config = config
        self.a2b = Generator(config)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, dimensions), nn.ReLU(), nn.Linear(dimensions, dimensions))
            for c in self.a2b.feature_channels
        )
        for layer in self.heads.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor, places: Sequence[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Images (n, c, h, w), places (p_l,) for each layer → translations, their patches, the patches of ``images``.

        Patches are (n, p_l, 256), float32. Those of ``images`` are targets and pass no gradient.
        """
        features = self.a2b.encode(images)
        translated = self.a2b.decode(features[-1], *images.shape[2:])
        queries = self.project(self.a2b.encode(translated), places)
        with torch.no_grad():  # after the queries: autocast keeps the weights that it casts first
            keys = self.project(features, places)
        return translated, queries, keys

    def project(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Features (n, c_l, h_l, w_l) at ``places`` of each layer → (n, p_l, 256), of length 1."""
        return [
            F.normalize(head(x.flatten(2)[:, :, at].transpose(1, 2)).float(), dim=2)
            for head, x, at in zip(self.heads, features, places, strict=True)
        ]

    @staticmethod
    def pixels(images: Tensor) -> list[int]:
        """Places that each layer has for such images."""
        whole = fit(images[:1, :1]).numel()
        return [whole, whole // 4, *[whole // STRIDE**2] * 3]
