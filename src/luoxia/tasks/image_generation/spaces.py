"""Where a generator's latents are edited: z itself, or w where a mapping network makes it from z."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.core.sentences import shown
from luoxia.tasks.image_generation.styles import PLAIN, Controls, NoiseName, has_styles, layers_of, truncated

Points = Tensor | NDArray[Any]
SPREAD_OF = 1000
"""Draws by which the spread of w is known."""


class Space(Protocol):
    """Latents of one kind. ``points`` are (n, …); labels (n,) or None go with them where images need them still."""

    name: str

    def points(
        self, z: Tensor, labels: Tensor | None, controls: Controls = PLAIN, second: Tensor | None = None
    ) -> Tensor:
        """z (n, latent), labels (n,) → points; ``second``: latents whose style is mixed in."""
        ...

    def images(self, points: Tensor, labels: Tensor | None, noise: Tensor | NoiseName = "const") -> Tensor:
        """Points → images (n, c, h, w), about [−1, 1]; differentiable. ``noise`` is for networks that take any."""
        ...

    def between(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        """From one point (…) to another, at shares t (n,): (n, …)."""
        ...

    def shape(self) -> tuple[int, ...]:
        """Of one point."""
        ...

    def weights(self) -> Tensor:
        """What a vector of this space is first multiplied by (outputs, d)."""
        ...

    def spread(self, directions: Tensor, labels: Tensor | None) -> Tensor:
        """Standard deviation of the points along unit vectors (k, d): (k,)."""
        ...


def points_in(given: Points, row: tuple[int, ...], name: str) -> Tensor:
    """An array or a tensor (n, *row) as a tensor of float32; ``UsageError`` for anything else."""
    numbers = getattr(getattr(given, "dtype", None), "kind", "f") in "fiu"
    if not numbers or not isinstance(given, Tensor | np.ndarray) or given.shape[1:] != row or not len(given):
        raise UsageError(f"{name} must be numbers (n, {', '.join(map(str, row))}), not {shown(given)}")
    return torch.as_tensor(given).float()


class ZSpace:
    """z, standard normal: points lie near a sphere, and ways between them on it."""

    name = "z"

    def __init__(self, network: Any) -> None:
        self.network = network

    def points(
        self, z: Tensor, labels: Tensor | None, controls: Controls = PLAIN, second: Tensor | None = None
    ) -> Tensor:
        """z times the truncation."""
        return z * controls.truncation

    def images(self, points: Tensor, labels: Tensor | None, noise: Tensor | NoiseName = "const") -> Tensor:
        """By the whole network."""
        images: Tensor = self.network(points, labels)
        return images

    def between(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        """Along the great circle."""
        return slerp(a, b, t[:, None])

    def shape(self) -> tuple[int, ...]:
        """(latent,)."""
        return (int(self.network.latent),)

    def weights(self) -> Tensor:
        """The first layer's, as far as they meet z."""
        return _latent_weights(self.network)

    def spread(self, directions: Tensor, labels: Tensor | None) -> Tensor:
        """1, by definition."""
        return torch.ones(len(directions))


class WSpace:
    """w, a style for each layer; the class is in it already."""

    name = "w"

    def __init__(self, network: Any) -> None:
        self.network = network

    def points(
        self, z: Tensor, labels: Tensor | None, controls: Controls = PLAIN, second: Tensor | None = None
    ) -> Tensor:
        """w (n, layers, d), pulled towards its mean; some layers with the style of ``second``."""
        network = self.network
        w = truncated(network, network.map(z, labels), controls.truncation)
        if second is None:
            return w
        chosen, w = layers_of(controls.mix_layers, network.layers), w.clone()
        w[:, chosen] = truncated(network, network.map(second, labels), controls.truncation)[:, chosen]
        return w

    def images(self, points: Tensor, labels: Tensor | None, noise: Tensor | NoiseName = "const") -> Tensor:
        """By the synthesis network."""
        images: Tensor = self.network.synthesize(points, noise=noise)
        return images

    def between(self, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
        """Along the straight line: w was made to be flat."""
        return torch.lerp(a, b, t[:, None, None])

    def shape(self) -> tuple[int, ...]:
        """(layers, d)."""
        return (int(self.network.layers), len(self.network.mean_w))

    def weights(self) -> Tensor:
        """Those of all layers' styles, one below the other."""
        return _latent_weights(self.network)

    def spread(self, directions: Tensor, labels: Tensor | None) -> Tensor:
        """Measured."""
        z = torch.randn(SPREAD_OF, int(self.network.latent), generator=torch.Generator().manual_seed(0))
        z = z.to(self.network.mean_w.device)
        some = None if labels is None else labels[torch.arange(len(z)) % len(labels)]
        w = self.network.map(z, some)[:, 0]
        spread: Tensor = (w @ directions.T.to(w)).std(0).cpu()
        return spread


def space_of(network: Any) -> Space:
    """The space in which a generator's latents are edited."""
    return WSpace(network) if has_styles(network) else ZSpace(network)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the great circle from a (d,) to b (d,), at shares t (n, 1): a straight line leaves the shell of normals."""
    angle = torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    if angle.sin().abs() < 1e-6:
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


@dataclass(frozen=True)
class Directions:
    """Unit vectors (k, d) of a space, the eigenvalues they are sorted by, and the spread of points along each (k,)."""

    space: str
    vectors: Tensor
    eigenvalues: Tensor
    spread: Tensor


def factorized(weights: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """SeFa (Shen & Zhou 2021, arXiv:2007.06600, eq. 5): the ``k`` eigenvectors of AᵀA with the largest eigenvalues.

    A (outputs, d) → unit vectors (k, d), the entry of each with the largest absolute value positive; eigenvalues (k,).
    """
    values, vectors = torch.linalg.eigh(weights.double().T @ weights.double())
    values, directions = values.flip(0)[:k], vectors.T.flip(0)[:k]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * largest.sign()).float(), values.clamp_min(0).float()


def walk(space: Space, points: Tensor, frames: int, closed: bool = True) -> Tensor:
    """The way through all points, ``frames`` steps from each to the next, and back to the first where ``closed``.

    An open way ends with the last point: (n − 1) · frames + 1 points; a closed one has n · frames.
    """
    return torch.cat(list(ways(space, points, frames, closed)))


def ways(space: Space, points: Tensor, frames: int, closed: bool = True) -> Iterator[Tensor]:
    """The same, from one point to the next at a time."""
    t = torch.arange(frames, dtype=torch.float32, device=points.device) / frames
    for i in range(len(points) if closed else len(points) - 1):
        yield space.between(points[i], points[(i + 1) % len(points)], t)
    if not closed:
        yield points[-1:]


def _latent_weights(network: Any) -> Tensor:
    if not hasattr(network, "latent_weights"):
        raise UsageError(
            f"directions need a generator with a method latent_weights(), which {type(network).__name__} lacks"
        )
    weights: Tensor = network.latent_weights()
    return weights.detach().float().cpu()
