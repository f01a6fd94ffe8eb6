"""Controls of generators with styles: truncation in w, two seeds mixed by layers, noise."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.tasks.image_generation.requests import needing_styles, no_styles

NoiseName = Literal["const", "random", "none"]


def has_styles(network: Any) -> bool:
    """Whether the network maps z to a style for each layer, from which it makes the image."""
    return hasattr(network, "map") and hasattr(network, "synthesize")


@dataclass(frozen=True)
class Controls:
    """How an image is made of its latents. ``truncation`` ψ pulls z towards 0 or, with styles, w towards its mean.

    ``dtype`` is that of matrix products and convolutions; None: the generator's own. The rest needs styles: layers
    ``mix_layers`` (``4-7``, ``4-``, ``-3``, ``5``; if unset the second half) take the style of seed ``mix``; ``noise``
    is the same in all images, drawn for each by ``seed``, or left out.
    """

    truncation: float = 1.0
    mix: int | None = None
    mix_layers: str | None = None
    noise: NoiseName = "const"
    seed: int = 0
    dtype: torch.dtype | None = None

    def check(self, network: Any) -> None:
        """``UsageError`` for what this network cannot do."""
        needed = needing_styles(self.mix, self.mix_layers, self.noise)
        if needed and not has_styles(network):
            raise no_styles(needed)
        if self.noise not in ("const", "random", "none"):
            raise UsageError(f"noise={self.noise}: must be const, random or none")
        if self.mix_layers is not None:
            if self.mix is None:
                raise UsageError(
                    f"mix_layers={self.mix_layers} needs mix=SEED, whose style these layers take"
                )
            layers_of(self.mix_layers, network.layers)


PLAIN = Controls()


def layers_of(asked: str | None, layers: int, key: str = "mix_layers") -> slice:
    """The layers of ``4-7``, ``4-``, ``-3`` or ``5``, both ends included; the second half of ``layers`` if unset.

    ``coarse``, ``middle`` and ``fine`` are thirds.
    """
    if asked is None:
        return slice(layers // 2, layers)
    third = math.ceil(layers / 3)
    named = {"coarse": (0, third), "middle": (third, 2 * third), "fine": (2 * third, layers)}
    if asked in named:
        return slice(*named[asked])
    found = re.fullmatch(r"(\d*)(-?)(\d*)", str(asked).strip())
    if found and (found[1] or found[3]):
        first = int(found[1] or 0)
        last = int(found[3] or layers - 1) if found[2] else first
        if first <= last < layers:
            return slice(first, last + 1)
    raise UsageError(
        f"{key}={asked}: must be coarse, middle, fine, or such as 4-7, 4-, -3 or 5, of the layers 0 to {layers - 1}"
    )


def noise_for(network: Any, controls: Controls, rows: Sequence[int]) -> Tensor | NoiseName:
    """What the synthesis network takes for the images number ``rows``."""
    if controls.noise != "random":
        return controls.noise
    return noise_of(controls.seed, rows, network.noise_size).to(network.mean_w.device)


def truncated(network: Any, w: Tensor, truncation: float) -> Tensor:
    """w (n, layers, d) pulled towards its mean over training: ψ = 1 leaves it, 0 is the mean itself."""
    return w if truncation == 1 else network.mean_w + truncation * (w - network.mean_w)


def noise_of(seed: int, rows: Sequence[int], size: int) -> Tensor:
    """N(0, 1) values (rows, size), float32; each row a pure function of (seed, its number), apart from the latents."""
    drawn = [
        np.random.Generator(np.random.Philox(key=[seed, row]).jumped()).standard_normal(
            size, dtype=np.float32
        )
        for row in rows
    ]
    return torch.from_numpy(np.stack(drawn))
