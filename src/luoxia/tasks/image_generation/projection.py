"""An image to its latent: what a generator needs to be given to make it (Karras et al. 2020, appendix D)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from luoxia.tasks.image_generation.spaces import Space, WSpace

Distance = Callable[[Tensor, Tensor], Tensor]
"""Images (n, c, h, w) and one target (1, c, h, w), both in [−1, 1] → how unlike they are (n,)."""

CANDIDATES = 256
"""Random latents; the search starts from the one nearest to the image."""
SHOWN = 6
"""Images of the progress picture."""
RATE = 0.1
PRIOR = 1e-3
"""Weight of z's log density: an image that z makes is one that samples could be."""
NOISE_WEIGHT = 1e5
RAMP_UP, RAMP_DOWN, RESTLESS = 0.05, 0.25, 0.75
"""Shares of the steps in which the rate rises, in which it falls, and in which w is shaken."""


@dataclass(frozen=True)
class Projection:
    """What was found: ``point`` (1, …) of ``space``, its ``label`` or None, and how near its image is.

    ``distance`` is perceptual, ``pixels`` the root mean square difference in gray levels of 0 to 255. ``course``:
    images (k, c, h, w) on the way, the last of them the result's.
    """

    space: str
    point: Tensor
    label: int | None
    noise: Tensor | None
    distance: float
    pixels: float
    course: Tensor


def project(
    space: Space,
    target: Tensor,
    labels: Tensor | None,
    latent: int,
    distance: Distance,
    steps: int,
    seed: int,
) -> Projection:
    """Descend from a likely start; ``target`` (1, c, h, w) in [−1, 1]; ``labels``: the classes that may be tried."""
    rng = torch.Generator().manual_seed(seed)
    styled = isinstance(space, WSpace)
    point, label = _begin(space, target, labels, latent, distance, rng)
    noise = _Noise(space.network, rng) if isinstance(space, WSpace) else None
    spread = _spread_of_w(space, labels, rng) if isinstance(space, WSpace) else 0.0
    point.requires_grad_(True)
    optimizer = torch.optim.Adam([point, *(noise.maps if noise else [])], lr=RATE, betas=(0.9, 0.999))
    course, kept = [], {round(i * (steps - 1) / (SHOWN - 1)) for i in range(SHOWN)}
    for step in range(steps):
        share = step / steps
        optimizer.param_groups[0]["lr"] = RATE * _rate(share)
        shaken = point
        if styled:
            shake = 0.05 * spread * max(0.0, 1 - share / RESTLESS) ** 2
            shaken = point + shake * torch.randn(point.shape, generator=rng).to(point)
        images = _images(space, shaken, label, noise)
        loss = distance(images, target).sum()
        loss = loss + (NOISE_WEIGHT * noise.structure() if noise else PRIOR * point.square().mean())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if noise:
            noise.normalize()
        if step in kept:
            course.append(images.detach())
    with torch.no_grad():
        final = _images(space, point, label, noise)
        pixels = (final.clamp(-1, 1) - target).square().mean().sqrt() * 127.5
        return Projection(
            space.name,
            point.detach().cpu(),
            None if label is None else int(label[0]),
            noise.joined().cpu() if noise else None,
            float(distance(final, target)),
            float(pixels),
            torch.cat([*course, final]).cpu(),
        )


def _begin(
    space: Space, target: Tensor, labels: Tensor | None, latent: int, distance: Distance, rng: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """The likest of many random latents, or the mean of w, and the class it goes with."""
    z = torch.randn(CANDIDATES, latent, generator=rng).to(target.device)
    some = None if labels is None else labels[torch.arange(len(z), device=labels.device) % len(labels)]
    with torch.no_grad():
        points = space.points(z, some)
        if isinstance(space, WSpace) and some is None:
            return points.mean(0, keepdim=True).clone(), None
        gaps = [
            distance(space.images(points[i : i + 32], None if some is None else some[i : i + 32]), target)
            for i in range(0, len(points), 32)
        ]
    best = int(torch.cat(gaps).argmin())
    return points[best : best + 1].clone(), None if some is None else some[best : best + 1]


def _images(space: Space, point: Tensor, label: Tensor | None, noise: _Noise | None) -> Tensor:
    return space.images(point, label) if noise is None else space.images(point, label, noise.joined())


def _rate(share: float) -> float:
    """Up, level, and down along a cosine."""
    down = min(1.0, (1 - share) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(down * math.pi)) * min(1.0, (share + 1e-3) / RAMP_UP)


def _spread_of_w(space: WSpace, labels: Tensor | None, rng: torch.Generator) -> float:
    """Root of the mean squared distance from w to its mean, over the dimensions."""
    z = torch.randn(1000, int(space.network.latent), generator=rng).to(space.network.mean_w.device)
    some = None if labels is None else labels[torch.arange(len(z), device=labels.device) % len(labels)]
    with torch.no_grad():
        w = space.network.map(z, some)[:, 0]
    return float((w - w.mean(0)).square().mean().sqrt())


class _Noise:
    """The maps of noise of one image, kept noise: their structure is penalized, their mean and variance are fixed."""

    def __init__(self, network: Any, rng: torch.Generator) -> None:
        sizes = [network.sizes[0], *(size for size in network.sizes[1:] for _ in range(2))]
        device = network.mean_w.device
        self.maps = [
            torch.randn(1, 1, *size, generator=rng).to(device).requires_grad_(True) for size in sizes
        ]

    def joined(self) -> Tensor:
        """As the network takes them: (1, noise_size)."""
        return torch.cat([noise.flatten(1) for noise in self.maps], 1)

    def structure(self) -> Tensor:
        """How much each value tells of its neighbors, at all scales down to 8 pixels: squared autocorrelations."""
        total = self.maps[0].new_zeros(())
        for noise in self.maps:
            while True:
                for axis in (2, 3):
                    total = total + (noise * noise.roll(1, axis)).mean().square()
                if min(noise.shape[2:]) <= 8:
                    break
                noise = F.avg_pool2d(noise, 2) * 2  # which keeps the variance of white noise
        return total

    @torch.no_grad()
    def normalize(self) -> None:
        """Mean 0, variance 1."""
        for noise in self.maps:
            noise -= noise.mean()
            noise *= noise.square().mean().add(1e-8).rsqrt()
