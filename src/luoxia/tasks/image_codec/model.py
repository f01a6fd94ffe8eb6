"""A trained codec: images ↔ tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.errors import UsageError
from luoxia.media.image.batches import to_float
from luoxia.media.image.values import to_uint8
from luoxia.provenance.label import Label
from luoxia.tasks.image_codec.networks import ImageAutoencoder

Images = NDArray[np.uint8]
CHUNK_PIXELS, CHUNK = 2**16, 16
"""Pixels, and images, computed together: the number depends on their size alone, for kernels round by it."""


class ImageCodec:
    """Images ↔ tokens on a grid, each of which stands for ``factor`` × ``factor`` pixels.

    ``shape`` (height, width, channels) is that of the images that it was trained on; it takes others of as many
    channels. ``details`` says where it comes from. ``dtype`` is that of convolutions. No call changes the codec, so
    that several threads may use one.

    >>> import luoxia
    >>> run = luoxia.train("image-codec", steps=2, batch=4, width=8, extractor="none", quiet=True)
    >>> codec = luoxia.load(run)
    >>> digits = luoxia.open_images().images[:3]
    >>> tokens = codec.encode(digits)
    >>> tuple(tokens.shape), codec.vocabulary, codec.decode(tokens).shape
    ((3, 4, 4, 1), 1000, (3, 28, 28, 1))
    """

    def __init__(
        self,
        network: ImageAutoencoder,
        *,
        shape: tuple[int, int, int],
        details: Label,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.shape = shape
        self.details = details
        self.device = torch.device(device)
        self.dtype = dtype
        self.factor = network.factor
        self.codebooks: int = network.quantizer.codebooks
        self.vocabulary: int = network.quantizer.vocabulary

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of the weights and the quantizer: what tokens belong to."""
        quantizer = self.network.quantizer
        facts = (type(quantizer).__name__, quantizer.vocabulary, quantizer.width, self.shape, self.factor)
        digest = hashlib.sha256(repr(facts).encode())
        levels = getattr(quantizer, "levels", None)
        digest.update(b"" if levels is None else levels.cpu().numpy().tobytes())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the tokens of an image of this size."""
        return -(-height // self.factor), -(-width // self.factor)

    def encode(self, images: Images) -> Tensor:
        """Images uint8 (n, h, w, c), of any size → tokens (n, rows, columns, codebooks), int64, on the CPU.

        An image's tokens do not depend on the others. ``UsageError`` for other channels than the codec's, and from a
        codec that was trained with quantizer=none.
        """
        self._check_tokens()
        if images.ndim != 4 or images.shape[3] != self.shape[2] or images.dtype != np.uint8:
            raise UsageError(
                f"images are {images.dtype} {images.shape}: this codec takes uint8 (n, height, width, {self.shape[2]})"
            )
        rows, columns = self.grid(*images.shape[1:3])
        made = [self._encoded(part, many) for part, many in self._chunks(images, images.shape[1:3])]
        return torch.cat([torch.zeros((0, rows, columns, self.codebooks), dtype=torch.int64), *made])

    def decode(self, tokens: Tensor, size: tuple[int, int] | None = None) -> Images:
        """Tokens (n, rows, columns, codebooks) → images uint8 (n, h, w, c).

        ``size``: height and width, within the grid's; None: those that were trained on where the grid is theirs, else
        all that the grid covers. ``UsageError`` for tokens of another shape or beyond the vocabulary.
        """
        self._check_tokens()
        if tokens.dim() != 4 or tokens.shape[3] != self.codebooks or tokens.dtype != torch.int64:
            raise UsageError(
                f"tokens are {str(tokens.dtype).removeprefix('torch.')} {tuple(tokens.shape)}: this codec takes "
                f"int64 (n, rows, columns, {self.codebooks})"
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.vocabulary:
            raise UsageError(
                f"tokens go from {int(tokens.min())} to {int(tokens.max())}: "
                f"this codec's go from 0 to {self.vocabulary - 1}"
            )
        grid = (int(tokens.shape[1]), int(tokens.shape[2]))
        full = (grid[0] * self.factor, grid[1] * self.factor)
        height, width = size or (self.shape[:2] if grid == self.grid(*self.shape[:2]) else full)
        if self.grid(height, width) != grid:
            raise UsageError(f"size={height}x{width} is not that of a grid of {grid[0]} × {grid[1]} tokens")
        made = [self._decoded(part, many) for part, many in self._chunks(tokens, full)]
        whole = np.concatenate([np.zeros((0, *full, self.shape[2]), np.uint8), *made])
        return whole[:, :height, :width]

    def reconstruct(self, images: Images) -> Images:
        """Images uint8 (n, h, w, c), encoded and decoded again; of a codec without tokens, by its latents."""
        if self.vocabulary:
            return self.decode(self.encode(images), (images.shape[1], images.shape[2]))
        made = []
        for part, many in self._chunks(images, images.shape[1:3]):
            with torch.inference_mode(), self._precision():
                made.append(to_uint8(self.network(self._pixels(part)).samples)[:many].cpu().numpy())
        return np.concatenate([np.zeros((0, *images.shape[1:]), np.uint8), *made])

    # ------------------------------------------------------------------ chunks

    def _chunks(self, whole: Any, size: Any) -> Iterator[tuple[Any, int]]:
        """Parts of equal length, the last one filled up by repeating its first row; and how many rows are real."""
        many = max(1, min(CHUNK, CHUNK_PIXELS // max(1, size[0] * size[1])))
        for first in range(0, len(whole), many):
            part = whole[first : first + many]
            real = len(part)
            if real < many:
                filling = [part[:1]] * (many - real)
                part = (
                    torch.cat([part, *filling])
                    if isinstance(part, Tensor)
                    else np.concatenate([part, *filling])
                )
            yield part, real

    def _pixels(self, images: Images) -> Tensor:
        own = np.require(images, requirements=["C", "W"])  # torch warns of arrays that are read-only
        return to_float(torch.from_numpy(own).to(self.device))

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    @torch.inference_mode()
    def _encoded(self, images: Images, many: int) -> Tensor:
        with self._precision():
            return self.network.encode(self._pixels(images))[:many].cpu()

    @torch.inference_mode()
    def _decoded(self, tokens: Tensor, many: int) -> Images:
        with self._precision():
            images: Images = to_uint8(self.network.decode(tokens.to(self.device)))[:many].cpu().numpy()
        return images

    def _check_tokens(self) -> None:
        if not self.vocabulary:
            raise UsageError(
                "this codec has no tokens: it was trained with quantizer=none; train one with fsq or vq"
            )
