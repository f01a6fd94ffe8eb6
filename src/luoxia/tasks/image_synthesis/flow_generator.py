"""Drawing images with a flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from luoxia.decoding.flow import Estimate, Guidance, Known, SolverName, flow, row_noise
from luoxia.media.image.batches import to_float
from luoxia.media.image.images import ImageDataset
from luoxia.media.image.values import to_uint8
from luoxia.metrics.score import Score
from luoxia.nn.conditioning import Condition
from luoxia.tasks.image_synthesis.conditions import ConditionBatch
from luoxia.tasks.image_synthesis.flow_scores import Indices, heldout_loss
from luoxia.tasks.image_synthesis.model import Known as KnownImages
from luoxia.tasks.image_synthesis.model import Settings
from luoxia.tasks.image_synthesis.networks.flow import ImageFlow


class FlowGenerator:
    """From noise to images by a trained ``network``; see ``luoxia.tasks.image_synthesis.model.Generator``."""

    edits = True

    def __init__(
        self,
        network: ImageFlow,
        solver: SolverName,
        t_mean: float,
        t_spread: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.solver, self.t_mean, self.t_spread, self.dtype = solver, t_mean, t_spread, dtype

    @torch.inference_mode()
    def predict(
        self,
        data: ImageDataset,
        train: Indices,
        heldout: Indices,
        conditions: Callable[[Indices], ConditionBatch],
    ) -> list[Score]:
        """The loss on held-out images."""
        device = next(self.network.parameters()).device
        times = {"t_mean": self.t_mean, "t_spread": self.t_spread}
        return [heldout_loss(self.network, data, train, heldout, conditions, device=device, **times)]

    @torch.inference_mode()
    def draw(
        self,
        conditions: ConditionBatch,
        negative: ConditionBatch | None,
        seed: int,
        numbers: Sequence[int],
        settings: Settings,
        known: KnownImages | None,
    ) -> Tensor:
        """Images, uint8 (n, h, w, c); see ``Generator``."""
        device = next(self.network.parameters()).device
        noise = row_noise(seed, numbers, self.network.shape).to(device)
        with torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            x = flow(
                self.estimate(conditions, negative, settings),
                noise,
                steps=settings.steps or 1,
                solver=self.solver,
                known=None if known is None else known_values(known, device),
                strength=settings.strength,
            )
        return to_uint8(x)

    def estimate(
        self, conditions: ConditionBatch, negative: ConditionBatch | None, settings: Settings
    ) -> Estimate:
        """x̂(z_t, t) under the conditions, guided within the interval: then the network sees each row twice."""
        conditioner, guidance = self.network.conditioner, Guidance(settings.guidance, settings.interval)
        own: Condition = conditioner(conditions)
        both = own
        if guidance.scale != 1:
            other = conditioner.none(len(conditions)) if negative is None else conditioner(negative)
            both = stacked(own, other)

        def estimate(z: Tensor, t: float) -> Tensor:
            rows = z.new_full((len(z),), t)
            if not guidance.holds(t):
                return self.network.estimate(z, rows, own)
            x = self.network.estimate(z.repeat(2, 1, 1, 1), rows.repeat(2), both)
            return guidance.combine(*x.chunk(2))

        return estimate


def stacked(*parts: Condition) -> Condition:
    """The rows of several conditions, one below the other."""
    vectors = torch.cat([part.vectors for part in parts])
    if all(part.mask is None for part in parts):
        return Condition(vectors)
    ones = [part.vectors.new_ones(part.vectors.shape[:2], dtype=torch.bool) for part in parts]
    masks = [one if part.mask is None else part.mask for part, one in zip(parts, ones, strict=True)]
    return Condition(vectors, torch.cat(masks))


def known_values(known: KnownImages, device: torch.device) -> Known:
    """An image's values and where they are free, as the flow takes them."""
    values = to_float(torch.from_numpy(known.image)).to(device)
    return Known(values, torch.from_numpy(known.mask).to(device))
