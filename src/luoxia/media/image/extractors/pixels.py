"""From uint8 images of any size and channels to the tensors that networks take."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from luoxia.core.errors import LuoxiaError

Pixels = NDArray[Any]
Network = TypeVar("Network", bound=nn.Module)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def to_rgb(images: Pixels) -> Pixels:
    """Convert uint8 (n, h, w, c) to RGB (n, h, w, 3): gray repeated, alpha (c = 2 or 4) over white."""
    if images.ndim != 4 or not 1 <= images.shape[3] <= 4 or images.dtype != np.uint8:
        raise LuoxiaError(
            f"images are {images.dtype} {images.shape}: give uint8 (n, height, width, 1 to 4 channels)"
        )
    channels = images.shape[3]
    if channels in (2, 4):
        alpha = images[..., -1:].astype(np.uint16)
        over = images[..., :-1].astype(np.uint16) * alpha + 255 * (255 - alpha)
        images = ((over + 127) // 255).astype(np.uint8)
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images


def to_channels(images: Pixels, channels: int) -> Pixels:
    """Convert uint8 (n, h, w, c) to ``channels``: luma for gray, opaque alpha where alpha is missing."""
    if images.shape[3] == channels and images.dtype == np.uint8:
        return images
    color = to_rgb(images)
    if channels in (1, 2):
        color = np.rint(color @ np.array(LUMA)).astype(np.uint8)[..., None]
    if channels in (2, 4):
        color = np.concatenate([color, np.full_like(color[..., :1], 255)], axis=3)
    return color


def tensor_channels(pixels: Tensor, channels: int) -> Tensor:
    """Float images (n, c, h, w) in [−1, 1] to ``channels`` (1 or 3), as ``to_rgb`` and ``to_channels``; differentiable.

    An alpha channel is laid over white (1); 2 and 4 ``channels`` gain an opaque one.
    """
    if pixels.shape[1] == channels:
        return pixels
    if pixels.shape[1] in (2, 4):
        share = (pixels[:, -1:] + 1) / 2
        pixels = pixels[:, :-1] * share + (1 - share)
    if pixels.shape[1] == 1 and channels >= 3:
        pixels = pixels.expand(-1, 3, -1, -1)
    if pixels.shape[1] == 3 and channels < 3:
        pixels = (pixels * pixels.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    if channels in (2, 4):
        pixels = torch.cat([pixels, torch.ones_like(pixels[:, :1])], 1)
    return pixels


def resize(pixels: Tensor, side: int) -> Tensor:
    """Resize float pixels (n, c, h, w) in [0, 255] to (n, c, side, side), antialiased bicubic.

    The kernel (a = -0.5, widened when shrinking) is Pillow's, as Parmar et al. 2022 recommend
    (arXiv:2104.11222).
    """
    if pixels.shape[2:] == (side, side):
        return pixels
    resized = F.interpolate(pixels, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp_(0, 255)


def resizer(side: int) -> str:
    """Name ``resize`` for a signature."""
    return f"antialiased bicubic to {side}x{side}"


def to_tensor(images: Pixels, side: int, device: torch.device | str = "cpu") -> Tensor:
    """Convert uint8 (n, h, w, c) to float32 (n, c, side, side) in [0, 255] on a device, channels last in memory."""
    own = np.require(images, requirements=["C", "W"])  # torch warns of arrays that are read-only
    pixels = torch.from_numpy(own).to(device).permute(0, 3, 1, 2).float()
    return resize(pixels, side).contiguous(memory_format=torch.channels_last)


def channels_last(network: Network) -> Network:
    """Store the network's weights channels last, as ``to_tensor`` stores images."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def build(network: Callable[[], Network]) -> Network:
    """Construct a network whose initial weights do not matter, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        return network()


def in_batches(images: Pixels, size: int, function: Callable[[Pixels], Tensor]) -> NDArray[np.float32]:
    """Apply ``function`` to ``size`` images at a time, without gradients → float32 (n, d)."""
    if len(images) == 0:
        raise LuoxiaError("there are no images to measure: give one or more")
    with torch.inference_mode(), full_float32():
        parts = [function(images[i : i + size]).float() for i in range(0, len(images), size)]
    features: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return features


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """On a GPU, products of float32 in all their bits: TF32, torch's choice for convolutions, keeps ten."""
    places: Any = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [place.fp32_precision for place in places]
    for place in places:
        place.fp32_precision = "ieee"
    try:
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision


class Placed:
    """An extractor's network, on a device. On a GPU its features are those of the CPU but for rounding."""

    _network: nn.Module

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self._network.parameters()).device

    def to(self, device: torch.device) -> None:
        """Compute there."""
        self._network.to(device)
