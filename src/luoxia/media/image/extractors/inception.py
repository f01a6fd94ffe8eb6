"""The Fréchet Inception distance's extractor, with a weights file that the user names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.errors import LuoxiaError
from luoxia.media.image.extractors.inception_network import InceptionV3
from luoxia.media.image.extractors.pixels import (
    Placed,
    build,
    channels_last,
    in_batches,
    resizer,
    to_rgb,
    to_tensor,
)

SIDE = 299
PUBLISHED = "pt_inception-2015-12-05-6726825d.pth"


class Inception(Placed):
    """2,048 features ("pool3") of Inception-v3 (Heusel et al. 2017, arXiv:1706.08500).

    ``weights`` is the published ``pt_inception-2015-12-05-6726825d.pth`` or a .safetensors file of the same
    keys; a missing or unfit file raises LuoxiaError. Images are resized as clean-fid does (Parmar et al.
    2022, arXiv:2104.11222), so values differ from those of TensorFlow's resizer, as the signature records.
    """

    name = "inception"

    def __init__(self, weights: Path) -> None:
        network = build(InceptionV3)
        _fit(network, _read(weights), weights)
        self._network = channels_last(network.eval().requires_grad_(False))
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        self.signature = {"extractor": self.name, "weights": digest, "resizer": resizer(SIDE)}

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Map images, uint8 (n, height, width, 1 to 4), to features, float32 (n, 2048)."""
        return in_batches(images, 32, self._pooled)

    def probabilities(self, features: NDArray[Any]) -> None:
        """Return None: ImageNet's classes are not the data set's."""

    def _pooled(self, images: NDArray[Any]) -> Tensor:
        pooled: Tensor = self._network((to_tensor(to_rgb(images), SIDE, self.device) - 128) / 128)
        return pooled


def _read(path: Path) -> dict[str, Tensor]:
    """Read tensors without running any code that the file may hold."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise LuoxiaError(f"{path} does not exist: point extractor=inception: at a copy of {PUBLISHED}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler raises nearly any type on a file that is not a pickle
        raise LuoxiaError(f"{path} is not a readable weights file: download {PUBLISHED} again") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise LuoxiaError(f"{path} does not hold named tensors: use {PUBLISHED}")
    return state


def _fit(network: InceptionV3, state: dict[str, Tensor], path: Path) -> None:
    """Load ``state`` into ``network``; counters of batch norm may be absent."""
    expected = network.state_dict()
    needed = {key for key in expected if not key.endswith("num_batches_tracked")}
    unfit = sorted((needed - state.keys()) | (state.keys() - expected.keys()))
    unfit += sorted(key for key in needed & state.keys() if state[key].shape != expected[key].shape)
    if unfit:
        shown = ", ".join(unfit[:3])
        raise LuoxiaError(
            f"{path} does not fit Inception-v3 at {len(unfit)} keys ({shown} …): use {PUBLISHED}"
        )
    network.load_state_dict(state, strict=False)
