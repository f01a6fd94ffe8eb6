"""The contract of a feature extractor, and the names that a user may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from numpy.typing import ArrayLike, NDArray

from luoxia.core.errors import UsageError
from luoxia.core.names import expanded


class Extractor(Protocol):
    """Turns uint8 images into feature vectors."""

    @property
    def name(self) -> str:
        """What scores are called after: ``FD-<name>``."""
        ...

    @property
    def signature(self) -> Mapping[str, str]:
        """What must be equal for its features to be comparable: extractor, weights, resizer."""
        ...

    def features(self, images: NDArray[Any]) -> NDArray[Any]:
        """Map images, uint8 (n, height, width, 1 to 4), to features, float32 (n, d)."""
        ...

    def probabilities(self, features: NDArray[Any]) -> NDArray[Any] | None:
        """Map features (n, d) to class probabilities (n, classes); None without a classifier."""
        ...


def open_extractor(
    name: str,
    images: NDArray[Any],
    labels: ArrayLike | None = None,
    *,
    fingerprint: str | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Extractor:
    """Open ``self``, ``effnet-lite0`` or ``inception:WEIGHTS`` for a data set.

    ``images``, uint8 (n, height, width, channels), and ``labels`` (n,) are the data set's: ``self`` trains
    on them, or takes what an earlier call cached under ``fingerprint`` (by default a digest of the images
    and labels). An unknown name raises UsageError, absent packages MissingExtraError, unfit weights
    LuoxiaError. It computes on ``device``, if that is a CPU or CUDA: Apple's GPUs lack the resizer.
    """
    device = torch.device(device)
    device = device if device.type != "mps" else torch.device("cpu")
    kind, _, path = name.partition(":")
    if kind == "self" and not path:
        from luoxia.media.image.extractors.selftaught import SelfTaught

        return SelfTaught.open(images, labels, fingerprint=fingerprint, seed=seed, device=device)
    if kind == "effnet-lite0" and not path:
        from luoxia.media.image.extractors.effnet import EffNetLite0

        lite = EffNetLite0(side=64 if max(images.shape[1:3]) <= 64 else 128)
        lite.to(device)
        return lite
    if kind == "inception" and path:
        from luoxia.media.image.extractors.inception import Inception

        inception = Inception(expanded(path))
        inception.to(device)
        return inception
    raise UsageError(f"extractor={name} is unknown: use self, effnet-lite0 or inception:WEIGHTS_FILE")
