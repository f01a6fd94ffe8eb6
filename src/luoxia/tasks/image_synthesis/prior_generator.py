"""Images from a prior and its codec: tokens are drawn, then decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from luoxia.core.order import generator_for
from luoxia.decoding.grid import Guidance, KnownTokens, Order, draw_grids
from luoxia.decoding.loop import Decoding
from luoxia.media.image.images import ImageDataset
from luoxia.metrics.score import Score
from luoxia.tasks.image_synthesis.conditions import ConditionBatch
from luoxia.tasks.image_synthesis.model import Known, Settings
from luoxia.tasks.image_synthesis.networks.prior import Prior
from luoxia.tasks.image_synthesis.prior_scores import Heldout
from luoxia.tasks.image_synthesis.views import token_views

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


class PriorGenerator:
    """Draws images; see ``luoxia.tasks.image_synthesis.model.Generator``. No call changes it."""

    def __init__(
        self, prior: Prior, codec: Any, *, order: Order = "random", dtype: torch.dtype = torch.float32
    ) -> None:
        self.prior = prior.eval().requires_grad_(False)
        self.codec, self.order, self.dtype = codec, order, dtype
        self.edits = order == "random"

    @torch.inference_mode()
    def draw(
        self,
        conditions: ConditionBatch,
        negative: ConditionBatch | None,
        seed: int,
        numbers: Sequence[int],
        settings: Settings,
        known: Known | None,
    ) -> Tensor:
        """Images, uint8 (n, h, w, c)."""
        decoder, conditioner = self.prior.decoder, self.prior.conditioner
        guided = settings.guidance != 1 and conditioner.spec.conditional
        sampling = Decoding(
            temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p, seed=seed
        )
        device = decoder.device
        with torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            against = None
            if guided:
                against = conditioner.none(len(conditions)) if negative is None else conditioner(negative)
            tokens = draw_grids(
                decoder,
                numbers,
                sampling,
                order=self.order,
                prefix=conditioner(conditions),
                against=against,
                guidance=Guidance(settings.guidance, settings.interval) if guided else None,
                known=None if known is None else self.known(known, seed, numbers, settings.strength),
            )
        images = self.codec.decode(tokens.view(len(tokens), *decoder.grid, -1).cpu())
        return torch.from_numpy(np.ascontiguousarray(images))

    def predict(
        self,
        data: ImageDataset,
        train: Indices,
        heldout: Indices,
        conditions: Callable[[Indices], ConditionBatch],
    ) -> list[Score]:
        """Bits of held-out images."""
        tokens = token_views(self.codec, data.images, data.fingerprint, views=1, shift=0)
        return [self.unseen(data, tokens[0], train, heldout, conditions).bits(self.prior, self.order)]

    def unseen(
        self,
        data: ImageDataset,
        tokens: Any,
        train: Indices,
        heldout: Indices,
        conditions: Callable[[Indices], ConditionBatch],
    ) -> Heldout:
        """What held-out bits are measured on, of the ``tokens`` (images, places, codebooks) of ``data``."""
        signature = {"codec": self.codec.fingerprint[:8], "data": data.fingerprint[:8]}
        return Heldout(tokens, train, heldout, conditions, self.codec.vocabulary, signature)

    def known(self, known: Known, seed: int, numbers: Sequence[int], strength: float) -> KnownTokens:
        """The tokens of an image, and which of them are drawn: those that stand for any painted pixel.

        Below a ``strength`` of 1, so large a share of these alone, a random choice for each image; the others remember
        what stood there. At 1, nothing of it is seen: the codec reads the painted pixels as the nearest that stay.
        """
        rows, columns = self.prior.decoder.grid
        painted: Any = np.broadcast_to(
            cells(known.mask, rows, columns).reshape(-1), (len(numbers), rows * columns)
        )
        image = known.image if strength < 1 else filled(known.image, known.mask)
        tokens = self.codec.encode(image).flatten(1, 2)
        if strength < 1:
            many = max(1, round(strength * int(painted[0].sum())))
            keys = [generator_for("strength", seed, number).random_raw(rows * columns) for number in numbers]
            ranks = np.lexsort((np.array(keys), ~painted), axis=1).argsort(
                1
            )  # painted places first, at random
            painted = painted & (ranks < many)
        return KnownTokens(tokens, torch.from_numpy(painted.copy()))


def cells(mask: Mask, rows: int, columns: int) -> Mask:
    """Which of rows × columns equal cells hold a pixel of ``mask`` (h, w); the last ones may reach over the border.

    >>> cells(np.array([[True, False, False, False]]), 1, 2).tolist()
    [[True, False]]
    """
    height, width = -(-mask.shape[0] // rows), -(-mask.shape[1] // columns)
    margins = ((0, rows * height - mask.shape[0]), (0, columns * width - mask.shape[1]))
    return np.asarray(np.pad(mask, margins).reshape(rows, height, columns, width).any((1, 3)))


def filled(images: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """Images (n, h, w, c) whose masked pixels are those of the nearest that are not; as they are where all are."""
    if mask.all() or not mask.any():
        return images
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(mask, return_distances=False, return_indices=True)
    return images[:, rows, columns]
