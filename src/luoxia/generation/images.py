"""Sampling images: the same seed gives the same image, whatever the number asked for at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from luoxia.config import nearest
from luoxia.errors import UsageError
from luoxia.generation.styles import Controls, images_of

PLAIN = Controls()
CHUNK = 64
"""Images computed together, always: kernels round differently for other batch sizes."""


class ImageGenerator:
    """A trained image generator: a network z, labels → images, and what is needed to describe its samples.

    ``details`` says where it comes from: recipe, run, step, fingerprint of the data.
    """

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

    @torch.inference_mode()
    def render(self, z: Tensor, labels: Tensor | None, controls: Controls = PLAIN) -> NDArray[np.uint8]:
        """Latents (n, latent) → uint8 (n, height, width, channels), in chunks of one fixed size."""
        controls.check(self.network)
        second = None if controls.mix is None else self.latents(len(z), controls.mix)
        pieces = []
        for start in range(0, len(z), CHUNK):
            part = _padded(z[start : start + CHUNK]).to(self.device)
            own = None if labels is None else _padded(labels[start : start + CHUNK]).to(self.device)
            other = None if second is None else _padded(second[start : start + CHUNK]).to(self.device)
            rows = range(start, start + CHUNK)
            images = images_of(self.network, part, own, controls, other, rows)[: len(z) - start]
            pieces.append(to_uint8(images).cpu().numpy())
        return np.concatenate(pieces)

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
        z = self.latents(keys, seed)
        t = torch.arange(frames, dtype=torch.float32)[:, None] / frames
        walk = torch.cat([slerp(z[i], z[(i + 1) % keys], t) for i in range(keys)])
        label = 0 if label is None and self.conditional else label
        return self.render(walk, self.labels(len(walk), label), Controls(seed=seed, **controls))

    def _class_number(self, label: str | int) -> int:
        name = str(label)
        if name in self.classes:
            return self.classes.index(name)
        if name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        few = f"; classes are {', '.join(self.classes)}" if len(self.classes) <= 12 else ""
        hint = few or nearest(name, self.classes) or f"; classes are {', '.join(self.classes[:12])} …"
        raise UsageError(f"label={name} is no class of this model{hint}")


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the great circle from a (d,) to b (d,), at shares t (n, 1): a straight line leaves the shell of normals."""
    angle = torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
    if angle.sin().abs() < 1e-6:
        return (1 - t) * a + t * b
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def to_uint8(images: Tensor) -> Tensor:
    """Float (n, c, h, w) in [−1, 1] → uint8 (n, h, w, c), rounded."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _padded(x: Tensor) -> Tensor:
    missing = CHUNK - len(x)
    return torch.cat([x, x[:1].expand(missing, *x.shape[1:])]) if missing else x
