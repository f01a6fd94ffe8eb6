"""Translating images: from one side to the other, each at its own size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from luoxia.core.config import checked
from luoxia.core.errors import UsageError
from luoxia.media.image.values import to_uint8
from luoxia.provenance.label import Label
from luoxia.tasks.image_translation.networks.cyclegan import Generator, ModuleGroup
from luoxia.tasks.image_translation.settings import TranslateImageSettings
from luoxia.tasks.image_translation.tiles import smallest_tile, translate_in_tiles

Image = NDArray[np.uint8]
Images = TypeVar("Images", Image, Sequence[Image])
TILE = 1024
"""Pixels a side above which an image is translated in tiles."""
CHUNK = 8
"""Images of one size computed together, at most."""


class ImageTranslator:
    """A network for each direction, and what is needed to describe what they make.

    ``details`` says where it comes from: recipe, run, step, fingerprint of the data. ``dtype`` is that of matrix
    products and convolutions, unless a call names another. No call changes the translator, so that several threads may
    use one.
    """

    def __init__(
        self,
        networks: ModuleGroup,
        *,
        channels: int,
        details: Label,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.networks = networks.to(device).eval().requires_grad_(False)
        self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.channels = channels
        self.details = details
        self.device = torch.device(device)
        self.dtype = dtype

    @property
    def directions(self) -> tuple[str, ...]:
        """The ways it translates: of a2b and b2a."""
        return tuple(self.networks)

    @checked(TranslateImageSettings, "tile")
    def translate(
        self, images: Images, direction: str = "a2b", *, tile: int = TILE, dtype: torch.dtype | None = None
    ) -> Images:
        """Images to the other side, each at its own size.

        ``images`` is uint8, (n, height, width, channels) or one (height, width, channels), or a sequence of such single
        images of any sizes; what comes back has the same form. An image of more than ``tile`` × ``tile`` pixels is
        translated in overlapping tiles of that size. ``dtype``: of this call; None: the model's own. ``UsageError`` for
        a direction that the model does not know, other channels than its own, or a tile that is too small.
        """
        network = self.network(direction)
        if tile < smallest_tile(network):
            raise UsageError(f"tile={tile} is too small: this model needs {smallest_tile(network)} or more")
        whole = partial(self._whole, network, tile=tile, dtype=dtype or self.dtype)
        if not isinstance(images, np.ndarray):
            return cast(Images, [whole(image[None])[0] for image in images])
        if images.ndim == 3:
            return cast(Images, whole(images[None])[0])
        parts = [whole(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
        return cast(Images, np.concatenate(parts) if parts else images)

    def network(self, direction: str) -> Generator:
        """That of one direction."""
        if direction not in self.networks:
            ways = " and ".join(self.directions)
            if direction in ("a2b", "b2a"):
                raise UsageError(
                    f"direction={direction}: this model translates {ways} only; train recipe cyclegan for both"
                )
            raise UsageError(f"direction={direction}: must be {' or '.join(self.directions)}")
        return cast(Generator, self.networks[direction])

    @torch.inference_mode()
    def _whole(self, network: Generator, images: Image, *, tile: int, dtype: torch.dtype) -> Image:
        """Images of one size, (n, h, w, c)."""
        if images.ndim != 4 or images.shape[3] != self.channels or images.dtype != np.uint8:
            raise UsageError(
                f"images are {images.dtype} {images.shape[1:]}: this model takes uint8 (height, width, {self.channels})"
            )
        own = np.require(images, requirements=["C", "W"])  # torch warns of arrays that are read-only
        x = torch.from_numpy(own).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            if x.shape[2] * x.shape[3] > tile * tile:
                output = torch.cat(
                    [translate_in_tiles(network, one, tile, self.device) for one in x[:, None]]
                )
            else:
                output = network(x.to(self.device))
        return cast(Image, to_uint8(output).cpu().numpy())
