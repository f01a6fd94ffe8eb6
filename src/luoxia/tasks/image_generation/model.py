"""Sampling images: the same seed gives the same image, whatever the number asked for at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from luoxia.core.config import checked
from luoxia.core.errors import UsageError
from luoxia.core.sentences import shown
from luoxia.media.image.convert import image_bytes, one_image
from luoxia.media.image.perceptual import Perceptual
from luoxia.media.image.values import to_uint8
from luoxia.provenance.label import Label
from luoxia.tasks.image_generation.projection import Projection, project
from luoxia.tasks.image_generation.requests import check_label, no_styles
from luoxia.tasks.image_generation.settings import (
    InterpolateSettings,
    MixSettings,
    ProjectSettings,
    SampleSettings,
)
from luoxia.tasks.image_generation.spaces import (
    Directions,
    Points,
    Space,
    factorized,
    points_in,
    space_of,
    ways,
)
from luoxia.tasks.image_generation.styles import PLAIN, Controls, has_styles, layers_of, noise_for
from luoxia.tasks.shared.chunks import CHUNK, joined, padded, regrouped
from luoxia.tasks.shared.classes import class_asked, class_number

if TYPE_CHECKING:
    from luoxia.media.image.perceptual import Mapped

CONTROLS = ("truncation", "mix", "mix_layers", "noise")


class ImageGenerator:
    """A trained image generator: a network z, labels → images, and what is needed to describe its samples.

    ``details`` says where it comes from: recipe, run, step, fingerprint of the data. ``dtype`` is that of matrix
    products and convolutions, unless a call names another: in bfloat16 a seed's image differs by rounding. ``shape`` is
    that of an image, (height, width, channels); None: found by making one. No call changes the generator, so that
    several threads may use one.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        classes: tuple[str, ...],
        details: Label,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        shape: tuple[int, int, int] | None = None,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.classes = classes
        self.details = details
        self.device = torch.device(device)
        self.dtype = dtype
        self.latent: int = network.latent  # type: ignore[assignment]
        self.shape = shape or self._found_shape()

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
        in turn. ``controls``: ``truncation`` and ``dtype``, and with styles ``mix``, ``mix_layers`` and ``noise``, as
        in ``luoxia.tasks.image_generation.styles.Controls``.

        >>> import luoxia
        >>> run = luoxia.train("gan", steps=2, batch=4, extractor="none", quiet=True)
        >>> generator = luoxia.load(run)
        >>> four, two = generator.sample(4, seed=7), generator.sample(2, seed=7)
        >>> four.shape, bool((four[:2] == two).all())
        ((4, 28, 28, 1), True)
        """
        return joined(self.stream(n, seed, label=label, **controls), n, self.shape)

    @checked(SampleSettings, "n", "seed", *CONTROLS)
    def stream(
        self,
        n: int = 16,
        seed: int = 0,
        *,
        label: str | int | None = None,
        shift: Tensor | None = None,
        **controls: Any,
    ) -> Iterator[NDArray[np.uint8]]:
        """The images of ``sample``, at most ``CHUNK`` at a time, each chunk made when it is asked for.

        ``shift`` is added to each point of ``space``, as by ``towards``. A wrong request is refused at once.
        """
        chosen = Controls(seed=seed, **controls)
        chosen.check(self.network)
        self._check_draw(n, seed)
        self.labels(1, label)

        def made() -> Iterator[NDArray[np.uint8]]:
            for first in range(0, n, CHUNK):
                many = min(CHUNK, n - first)
                labels = self.labels(many, label, first)
                points = self.points(self.latents(many, seed, first), labels, chosen, first)
                yield self.images_at(points if shift is None else points + shift, labels, chosen, first)

        return made()

    def latents(self, n: int, seed: int, first: int = 0) -> Tensor:
        """z (n, latent), standard normal, float32; row i is a pure function of (seed, first + i)."""
        self._check_draw(n, seed)
        rows = [
            np.random.Generator(np.random.Philox(key=[seed, i])).standard_normal(self.latent)
            for i in range(first, first + n)
        ]
        return torch.from_numpy(np.array(rows, dtype=np.float32).reshape(n, self.latent))

    def labels(self, n: int, label: str | int | None = None, first: int = 0) -> Tensor | None:
        """Labels (n,) int64 of the images from number ``first`` on, or None for an unconditional generator."""
        check_label(label, self.classes, self.conditional)
        if not self.conditional:
            return None
        if (chosen := self.class_asked(label)) is None:
            return torch.arange(first, first + n) % len(self.classes)
        return torch.full((n,), class_number(chosen, self.classes))

    def class_asked(self, label: str | int | None) -> str | int | None:
        """The class that is asked for: "none" is the class of that name where there is one, and else no class."""
        return class_asked(label, self.classes)

    def render(self, z: Points, labels: Points | None, controls: Controls = PLAIN) -> NDArray[np.uint8]:
        """Latents (n, latent) → uint8 (n, height, width, channels), in chunks of one fixed size."""
        return self.images_at(self.points(z, labels, controls), labels, controls)

    # ------------------------------------------------------------------ latents, edited

    @property
    def space(self) -> Space:
        """Where latents are edited: z, or w where the network has styles."""
        return space_of(self.network)

    @torch.inference_mode()
    def points(self, z: Points, labels: Points | None, controls: Controls = PLAIN, first: int = 0) -> Tensor:
        """z (n, latent), labels (n,) → points of ``space`` (n, …): z (n, latent) or w (n, layers, d).

        ``first``: the number of the first of them, which the style of ``mix`` goes by.
        """
        controls.check(self.network)
        z = points_in(z, (self.latent,), "latents")
        labels = None if labels is None else torch.as_tensor(labels)
        second = None if controls.mix is None else self.latents(len(z), controls.mix, first)
        pieces = [
            self.space.points(part, own, controls, other)
            for _, part, own, other in self._chunks(z, labels, second)
        ]
        return torch.cat(pieces)[: len(z)].cpu()

    @torch.inference_mode()
    def images_at(
        self, points: Points, labels: Points | None, controls: Controls = PLAIN, first: int = 0
    ) -> NDArray[np.uint8]:
        """Points of ``space`` (n, …), labels (n,) where they are conditional → uint8 (n, height, width, channels).

        ``first``: the number of the first of them, which random noise goes by.
        """
        points = points_in(points, self.space.shape(), f"points of {self.space.name}")
        labels = None if labels is None else torch.as_tensor(labels)
        dtype = controls.dtype or self.dtype
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            pieces = [
                to_uint8(self.space.images(part, own, noise_for(self.network, controls, rows))).cpu().numpy()
                for rows, part, own in self._chunks(points, labels, first=first)
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
        chunks = self.stream_interpolation(keys, frames, seed, label=label, **controls)
        return joined(chunks, keys * frames, self.shape)

    def stream_interpolation(
        self,
        keys: int = 8,
        frames: int = 16,
        seed: int = 0,
        *,
        label: str | int | None = None,
        **controls: Any,
    ) -> Iterator[NDArray[np.uint8]]:
        """The images of ``interpolate``, at most ``CHUNK`` at a time."""
        chosen = Controls(seed=seed, **controls)
        labels = self.labels_of_one(keys, label)
        points = self.points(self.latents(keys, seed), labels, chosen)
        return self.stream_walk(points, frames, None if labels is None else labels[:1], controls=chosen)

    def labels_of_one(self, n: int, label: str | int | None = None) -> Tensor | None:
        """Labels (n,) all of one class, the first if ``label`` is None; None for an unconditional generator."""
        first = self.conditional and self.class_asked(label) is None
        return torch.zeros(n, dtype=torch.int64) if first else self.labels(n, label)

    @checked(InterpolateSettings, "frames", "closed")
    def walk(
        self,
        points: Points,
        frames: int = 24,
        labels: Points | None = None,
        *,
        closed: bool = True,
        controls: Controls = PLAIN,
    ) -> NDArray[np.uint8]:
        """Through points of ``space`` (n, …), ``frames`` images from each to the next: uint8 (frames, h, w, c).

        ``labels`` (1,): the class of all, where a point does not hold it. ``closed``: back to the first.
        """
        steps = len(points) * frames if closed else (len(points) - 1) * frames + 1
        chunks = self.stream_walk(points, frames, labels, closed=closed, controls=controls)
        return joined(chunks, steps, self.shape)

    def stream_walk(
        self,
        points: Points,
        frames: int = 24,
        labels: Points | None = None,
        *,
        closed: bool = True,
        controls: Controls = PLAIN,
    ) -> Iterator[NDArray[np.uint8]]:
        """The images of ``walk``, at most ``CHUNK`` at a time."""
        points, first = points_in(points, self.space.shape(), f"points of {self.space.name}"), 0
        labels = None if labels is None else torch.as_tensor(labels)
        for part in regrouped(ways(self.space, points, frames, closed)):
            own = None if labels is None else labels.expand(len(part))
            yield self.images_at(part, own, controls, first)
            first += len(part)

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
            raise no_styles("mix")
        chosen = layers_of(layers, int(self.network.layers), "layers")  # type: ignore[arg-type]
        z = torch.cat([self.latents(1, seed) for seed in (*rows, *columns)])
        labels = self.labels_of_one(len(z), label)
        w = self.points(z, labels, Controls(truncation=truncation))
        down, across = w[: len(rows)], w[len(rows) :]
        mixed = down[:, None].expand(-1, len(columns), -1, -1).clone()
        mixed[:, :, chosen] = across[None, :, chosen]
        images = self.images_at(torch.cat([across, torch.cat([down[:, None], mixed], 1).flatten(0, 1)]), None)
        return np.concatenate([np.full_like(images[:1], 255), images])

    def directions(self, k: int = 8) -> Directions:
        """The ``k`` directions of ``space`` that change most, in closed form (SeFa)."""
        vectors, eigenvalues = factorized(self.space.weights(), k)
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
        shift = self.towards(direction, strength)
        return joined(self.stream(n, seed, label=label, shift=shift, **controls), n, self.shape)

    def towards(self, direction: int, strength: float) -> Tensor:
        """What moves a point of ``space`` along a direction by ``strength`` standard deviations (d,)."""
        found = self.directions(direction + 1)
        if direction >= len(found.vectors):
            raise UsageError(
                f"direction={direction}: this model has the directions 0 to {len(found.vectors) - 1}"
            )
        return strength * found.spread[direction] * found.vectors[direction]

    @checked(ProjectSettings, "steps", "seed")
    def project(
        self,
        image: NDArray[np.uint8] | str | os.PathLike[str],
        *,
        steps: int = 300,
        seed: int = 0,
        label: str | int | None = None,
        extractor: Mapped | None = None,
    ) -> Projection:
        """The latent of an image: uint8 (height, width, channels) of the generator's own shape, or a file's middle.

        ``extractor`` compares images (None: pixels alone); ``label``: its class, or None for the likeliest.
        """
        if isinstance(image, str | os.PathLike):
            image = one_image(image_bytes(image), image, *self.shape)
        if getattr(image, "shape", None) != self.shape or image.dtype != np.uint8:
            raise UsageError(
                f"project needs an image of uint8 {self.shape} (height, width, channels), not {shown(image)}"
            )
        target = torch.tensor(image, device=self.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        labels, label = None, self.class_asked(label)
        if self.conditional:
            labels = torch.arange(len(self.classes)) if label is None else self.labels(1, label)
        elif label is not None:
            self.labels(1, label)  # says what is wrong
        labels = None if labels is None else labels.to(self.device)
        if extractor is not None:
            extractor.to(self.device)
        return project(self.space, target, labels, self.latent, Perceptual(extractor), steps, seed)

    def _chunks(self, *parts: Tensor | None, first: int = 0) -> Iterator[Any]:
        """(numbers from ``first`` on, each tensor's next rows): always ``CHUNK``, the first repeated at the end."""
        leading = parts[0]
        assert leading is not None
        for start in range(0, len(leading), CHUNK):
            rows = range(first + start, first + start + CHUNK)
            yield (
                rows,
                *(None if x is None else padded(x[start : start + CHUNK]).to(self.device) for x in parts),
            )

    def _found_shape(self) -> tuple[int, int, int]:
        label = None if (labels := self.labels(1)) is None else labels.to(self.device)
        with torch.inference_mode():
            point = self.space.points(self.latents(1, 0).to(self.device), label)
            channels, height, width = self.space.images(point, label).shape[1:]
        return height, width, channels

    def _check_draw(self, n: int, seed: int) -> None:
        if n < 1 or not 0 <= seed < 2**64:
            raise UsageError(f"cannot draw n={n} samples of seed={seed}; give n ≥ 1 and 0 ≤ seed < 2^64")
