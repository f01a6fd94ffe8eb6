"""A small network trained on the data set itself: features for any images, a classifier of its labels."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from luoxia.core.cache import cache_folder, entry_of
from luoxia.core.errors import LuoxiaError
from luoxia.media.image.extractors.pixels import (
    Placed,
    build,
    channels_last,
    full_float32,
    in_batches,
    resize,
    resizer,
    tensor_channels,
    to_channels,
    to_tensor,
)
from luoxia.media.image.extractors.training import Classifier, train

VERSION = 1  # raise it whenever the network or its training changes
LARGEST_SIDE = 64


@dataclass(frozen=True)
class Plan:
    """What the network is: enough to rebuild it around its weights."""

    task: str  # "classes", or "rotations" where there are no labels
    outputs: int
    channels: int
    side: int
    quality: float  # accuracy on the held-out tenth
    version: int = VERSION


class SelfTaught(Placed):
    """128 pooled features of a small CNN trained on the data set itself.

    With labels it learns to classify them. Without, it learns which of four rotations an image was given
    (Gidaris et al. 2018, arXiv:1803.07728). Both see small shifts, and hold out a tenth of the images,
    whose accuracy is ``quality``. Images become squares of at most 64 pixels, with the channels of the data
    set.
    """

    name = "self"
    _network: Classifier

    def __init__(self, network: Classifier, plan: Plan, weights: str) -> None:
        self.plan = plan
        self.quality = plan.quality
        self.signature = {
            "extractor": f"self ({plan.task})",
            "weights": weights,
            "resizer": resizer(plan.side),
        }
        self._network = channels_last(network.eval().requires_grad_(False))

    @classmethod
    def open(
        cls,
        images: NDArray[Any],
        labels: ArrayLike | None = None,
        *,
        fingerprint: str | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> SelfTaught:
        """Load the cached network of this data set, or train it on ``device`` and cache it.

        ``images`` are uint8 (n, height, width, channels), ``labels`` (n,) non-negative integers. Training is
        deterministic given ``seed`` and the number of threads. A damaged cache is detected and trained again.
        """
        targets = None if labels is None else np.asarray(labels, np.int64)
        if len(images) < 2:
            raise LuoxiaError(f"extractor=self needs two images or more, not {len(images)}: give more images")
        if targets is not None and len(targets) != len(images):
            raise LuoxiaError(f"{len(images):,} images have {len(targets):,} labels: give one for each image")
        identity = fingerprint or _digest(images)
        kind = "rotations" if targets is None else hashlib.sha256(targets.tobytes()).hexdigest()
        key = hashlib.sha256(f"{VERSION} {identity} {kind} {seed}".encode()).hexdigest()[:32]
        entry = cache_folder() / "extractors" / f"self-{key}"
        extractor = cls(
            *entry_of(entry, _load, lambda folder: _store(folder, *_train(images, targets, seed, device)))
        )
        extractor.to(torch.device(device))
        return extractor

    def features(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Map images, uint8 (n, height, width, 1 to 4), to features, float32 (n, 128)."""
        return in_batches(images, 250, self._pooled)

    def probabilities(self, features: NDArray[Any]) -> NDArray[np.float32] | None:
        """Map features (n, 128) to class probabilities (n, classes); None if it learned without labels."""
        if self.plan.task != "classes":
            return None
        with torch.inference_mode(), full_float32():
            given = torch.from_numpy(np.asarray(features, np.float32)).to(self.device)
            probabilities: NDArray[np.float32] = self._network.head(given).softmax(1).cpu().numpy()
        return probabilities

    def maps(self, images: Tensor) -> list[Tensor]:
        """Images (n, c, h, w) in [−1, 1] → what each convolution makes of them; differentiable."""
        pixels = resize((tensor_channels(images, self.plan.channels) + 1) * 127.5, self.plan.side)
        x, found = pixels / 127.5 - 1, []
        for layer in self._network.body:
            x = layer(x)
            found.append(x)
        return found

    def _pooled(self, images: NDArray[Any]) -> Tensor:
        pixels = to_tensor(to_channels(images, self.plan.channels), self.plan.side, self.device)
        pooled: Tensor = self._network.pooled(pixels / 127.5 - 1)
        return pooled


def _digest(images: NDArray[Any]) -> str:
    digest = hashlib.sha256(str(images.shape).encode())
    for start in range(0, len(images), 4096):
        digest.update(np.ascontiguousarray(images[start : start + 4096]).tobytes())
    return digest.hexdigest()


def _train(
    images: NDArray[Any], labels: NDArray[np.int64] | None, seed: int, device: torch.device | str
) -> tuple[Classifier, Plan]:
    side = min(max(images.shape[1:3]), LARGEST_SIDE)
    channels = images.shape[3]
    parts = [
        to_tensor(images[i : i + 1024], side).round_().to(torch.uint8) for i in range(0, len(images), 1024)
    ]
    outputs = 4 if labels is None else int(labels.max()) + 1
    targets = None if labels is None else torch.from_numpy(np.array(labels))
    network, quality = train(torch.cat(parts), targets, outputs, seed, device)
    task = "rotations" if labels is None else "classes"
    return network, Plan(task, outputs, channels, side, round(quality, 4))


def _store(folder: Path, network: Classifier, plan: Plan) -> None:
    """Write the weights, and beside them the plan and their digest."""
    from safetensors.torch import save

    content = save({key: value.cpu().contiguous() for key, value in network.state_dict().items()})
    card = json.dumps({**asdict(plan), "sha256": hashlib.sha256(content).hexdigest()}, indent=2)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "plan.json").write_text(card, encoding="utf-8")


def _load(folder: Path) -> tuple[Classifier, Plan, str]:
    """Read what ``_store`` wrote."""
    from safetensors.torch import load

    card = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    content = (folder / "model.safetensors").read_bytes()
    digest = card.pop("sha256")
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("the weights are not those that were written")
    plan = Plan(**card)
    network = build(lambda: Classifier(plan.channels, plan.outputs, plan.side))
    network.load_state_dict(load(content))
    return network, plan, digest[:16]
