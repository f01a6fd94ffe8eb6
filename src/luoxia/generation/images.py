"""Sampling images: the same seed gives the same image, whatever the number asked for at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from luoxia.config import checked, nearest
from luoxia.errors import UsageError
from luoxia.generation.projection import Projection, project
from luoxia.generation.spaces import Directions, Space, factorised, space_of, walk
from luoxia.generation.styles import PLAIN, Controls, has_styles, layers_of, noise_for
from luoxia.metrics.perceptual import Perceptual
from luoxia.settings import InterpolateSettings, MixSettings, ProjectSettings, SampleSettings

if TYPE_CHECKING:
    from luoxia.metrics.perceptual import Mapped

CONTROLS = ("truncation", "mix", "mix_layers", "noise")
CHUNK = 64
"""Images computed together, always: kernels round differently for other batch sizes."""


class ImageGenerator:
    """A trained image generator: a network z, labels → images, and what is needed to describe its samples.

    ``details`` says where it comes from: recipe, run, step, fingerprint of the data. ``dtype`` is that of matrix
    products and convolutions where it is set to another: in bfloat16 a seed's image differs by rounding.
    """

    dtype = torch.float32

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: tuple[str, ...],
        details: dict[str, Any],
        device: str | torch.device = "cpu",
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.classes = classes
        self.details = details
        self.device = torch.device(device)
        self.latent: int = network.latent  # type: ignore[assignment]

    @property
    def conditional(self) -> bool:
        """Whether it takes a class."""
        return bool(self.network.classes)

    @checked(SampleSettings, "n", "seed", *CONTROLS)
    def sample(
        self, n: int = 16, seed: int = 0, *, label: str | int | None = None, **controls: Any
    ) -> NDArray[np.uint8]:
        """N images, uint8 (n, height, width, channels).

        Image i is a pure function of (seed, i) and the controls. ``label``: a class by name or number, or None for all
        in turn. ``controls``: ``truncation``, and with styles ``mix``, ``mix_layers`` and ``noise``, as in
        ``luoxia.generation.styles.Controls``.
        """
        return self.render(self.latents(n, seed), self.labels(n, label), Controls(seed=seed, **controls))

    def latents(self, n: int, seed: int) -> Tensor:
        """z (n, latent), standard normal, float32; row i is a pure function of (seed, i)."""
        if n < 1 or not 0 <= seed < 2**64:
            raise UsageError(f"cannot draw n={n} samples of seed={seed}; give n ≥ 1 and 0 ≤ seed < 2^64")
        rows = [
            np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(self.latent)
            for i in range(n)
        ]
        return torch.from_numpy(np.array(rows, dtype=np.float32).reshape(n, self.latent))

    def labels(self, n: int, label: str | int | None = None) -> Tensor | None:
        """Labels (n,) int64, or None for an unconditional generator."""
        if not self.conditional:
            if label is not None:
                raise UsageError(
                    "label= needs a conditional model; train with condition=concat or projection"
                )
            return None
        if label is None:
            return torch.arange(n) % len(self.classes)
        return torch.full((n,), self._class_number(label))

    def render(self, z: Tensor, labels: Tensor | None, controls: Controls = PLAIN) -> NDArray[np.uint8]:
        """Latents (n, latent) → uint8 (n, height, width, channels), in chunks of one fixed size."""
        return self.images_at(self.points(z, labels, controls), labels, controls)

    # ------------------------------------------------------------------ latents, edited

    @property
    def space(self) -> Space:
        """Where latents are edited: z, or w where the network has styles."""
        return space_of(self.network)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        label = None if (labels := self.labels(1)) is None else labels.to(self.device)
        with torch.inference_mode():
            point = self.space.points(self.latents(1, 0).to(self.device), label)
            channels, height, width = self.space.images(point, label).shape[1:]
        return height, width, channels

    @torch.inference_mode()
    def points(self, z: Tensor, labels: Tensor | None, controls: Controls = PLAIN) -> Tensor:
        """z (n, latent), labels (n,) → points of ``space`` (n, …): z (n, latent) or w (n, layers, d)."""
        controls.check(self.network)
        second = None if controls.mix is None else self.latents(len(z), controls.mix)
        pieces = [
            self.space.points(part, own, controls, other)
            for _, part, own, other in self._chunks(z, labels, second)
        ]
        return torch.cat(pieces)[: len(z)].cpu()

    @torch.inference_mode()
    def images_at(
        self, points: Tensor, labels: Tensor | None, controls: Controls = PLAIN
    ) -> NDArray[np.uint8]:
        """Points of ``space`` (n, …), labels (n,) where they are conditional → uint8 (n, height, width, channels)."""
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            pieces = [
                to_uint8(self.space.images(part, own, noise_for(self.network, controls, rows))).cpu().numpy()
                for rows, part, own in self._chunks(points, labels)
            ]
        return np.concatenate(pieces)[: len(points)]

    @checked(SampleSettings, "seed", *CONTROLS)
    @checked(InterpolateSettings, "frames")
    def interpolate(
        self,
        keys: int = 8,
        frames: int = 16,
        seed: int = 0,
        *,
        label: str | int | None = None,
        **controls: Any,
    ) -> NDArray[np.uint8]:
        """A closed walk through ``keys`` latents with ``frames`` images between two: uint8 (keys · frames, h, w, c)."""
        chosen = Controls(seed=seed, **controls)
        labels = self.labels(keys, 0 if label is None and self.conditional else label)
        points = self.points(self.latents(keys, seed), labels, chosen)
        return self.walk(points, frames, None if labels is None else labels[:1], controls=chosen)

    @checked(InterpolateSettings, "frames", "closed")
    def walk(
        self,
        points: Tensor,
        frames: int = 24,
        labels: Tensor | None = None,
        *,
        closed: bool = True,
        controls: Controls = PLAIN,
    ) -> NDArray[np.uint8]:
        """Through points of ``space`` (n, …), ``frames`` images from each to the next: uint8 (frames, h, w, c).

        ``labels`` (1,): the class of all, where a point does not hold it. ``closed``: back to the first.
        """
        way = walk(self.space, points, frames, closed)
        return self.images_at(way, None if labels is None else labels.expand(len(way)), controls)

    @checked(MixSettings, "rows", "columns", "layers", "truncation")
    def mix(
        self,
        rows: Sequence[int],
        columns: Sequence[int],
        layers: str = "coarse",
        *,
        label: str | int | None = None,
        truncation: float = 1.0,
    ) -> NDArray[np.uint8]:
        """Style mixing (Karras et al. 2019, arXiv:1812.04948, figure 3): uint8 ((rows + 1) · (columns + 1), h, w, c).

        A white image, those of the seeds ``columns``, and for each seed of ``rows`` its image and then, column by
        column, that image with the column's style in ``layers`` (coarse, middle, fine, or such as 4-7).
        """
        if not has_styles(self.network):
            raise UsageError("mix needs a model with styles; train one with: luoxia train stylegan2")
        chosen = layers_of(layers, int(self.network.layers), "layers")  # type: ignore[arg-type]
        z = torch.cat([self.latents(1, seed) for seed in (*rows, *columns)])
        labels = self.labels(len(z), 0 if label is None and self.conditional else label)
        w = self.points(z, labels, Controls(truncation=truncation))
        down, across = w[: len(rows)], w[len(rows) :]
        mixed = down[:, None].expand(-1, len(columns), -1, -1).clone()
        mixed[:, :, chosen] = across[None, :, chosen]
        images = self.images_at(torch.cat([across, torch.cat([down[:, None], mixed], 1).flatten(0, 1)]), None)
        return np.concatenate([np.full_like(images[:1], 255), images])

    def directions(self, k: int = 8) -> Directions:
        """The ``k`` directions of ``space`` that change most, in closed form (SeFa)."""
        vectors, eigenvalues = factorised(self.space.weights(), k)
        labels = torch.arange(len(self.classes)) if self.conditional else None
        labels = None if labels is None else labels.to(self.device)
        with torch.inference_mode():
            return Directions(self.space.name, vectors, eigenvalues, self.space.spread(vectors, labels))

    @checked(SampleSettings, "direction", "strength", "n", "seed", *CONTROLS)
    def along(
        self,
        direction: int,
        strength: float,
        n: int = 16,
        seed: int = 0,
        *,
        label: str | int | None = None,
        **controls: Any,
    ) -> NDArray[np.uint8]:
        """``sample``, each latent moved along a direction by ``strength`` standard deviations."""
        found = self.directions(direction + 1)
        if direction >= len(found.vectors):
            raise UsageError(
                f"direction={direction}: this model has the directions 0 to {len(found.vectors) - 1}"
            )
        labels, chosen = self.labels(n, label), Controls(seed=seed, **controls)
        points = self.points(self.latents(n, seed), labels, chosen)
        step = strength * found.spread[direction] * found.vectors[direction]
        return self.images_at(points + step, labels, chosen)

    @checked(ProjectSettings, "steps", "seed")
    def project(
        self,
        image: NDArray[np.uint8],
        *,
        steps: int = 300,
        seed: int = 0,
        label: str | int | None = None,
        extractor: Mapped | None = None,
    ) -> Projection:
        """The latent of an image, uint8 (height, width, channels) of the generator's own shape.

        ``extractor`` compares images (None: pixels alone); ``label``: its class, or None for the likeliest.
        """
        if image.shape != self.shape or image.dtype != np.uint8:
            raise UsageError(
                f"project needs an image of uint8 {self.shape} (height, width, channels), "
                f"not {image.dtype} {image.shape}"
            )
        target = torch.tensor(image, device=self.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        labels = None
        if self.conditional:
            labels = torch.arange(len(self.classes)) if label is None else self.labels(1, label)
        elif label is not None:
            self.labels(1, label)  # says what is wrong
        labels = None if labels is None else labels.to(self.device)
        if extractor is not None:
            extractor.to(self.device)
        return project(self.space, target, labels, self.latent, Perceptual(extractor), steps, seed)

    def _chunks(self, *parts: Tensor | None) -> Iterator[Any]:
        """(numbers, each tensor's next rows): always ``CHUNK`` of them, the first repeated at the end."""
        first = parts[0]
        assert first is not None
        for start in range(0, len(first), CHUNK):
            rows = range(start, start + CHUNK)
            yield (
                rows,
                *(None if x is None else _padded(x[start : start + CHUNK]).to(self.device) for x in parts),
            )

    def _class_number(self, label: str | int) -> int:
        name = str(label)
        if name in self.classes:
            return self.classes.index(name)
        if name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        few = f"; classes are {', '.join(self.classes)}" if len(self.classes) <= 12 else ""
        hint = few or nearest(name, self.classes) or f"; classes are {', '.join(self.classes[:12])} …"
        raise UsageError(f"label={name} is no class of this model{hint}")


def to_uint8(images: Tensor) -> Tensor:
    """Float (n, c, h, w) in [−1, 1] → uint8 (n, h, w, c), rounded."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _padded(x: Tensor) -> Tensor:
    missing = CHUNK - len(x)
    return torch.cat([x, x[:1].expand(missing, *x.shape[1:])]) if missing else x
