"""The network of ``flow``: noisy images and their conditions in, clean images out."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from luoxia.nn.conditioning import Condition
from luoxia.nn.flow_transformer import FlowTransformer
from luoxia.tasks.image_synthesis.conditions import ConditionBatch
from luoxia.tasks.image_synthesis.networks.conditioner import ImageConditioner
from luoxia.tasks.image_synthesis.spec import ConditionSpec


class ImageFlow(nn.Module):
    """x̂(z_t, t, conditions) of images ``shape`` (channels, height, width), in square patches."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        conditions: ConditionSpec,
        *,
        condition_dropout: float,
        patch: int,
        width: int,
        **sizes: Any,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.conditioner = ImageConditioner(conditions, width, condition_dropout)
        self.transformer = FlowTransformer(
            shape[0], shape[1:], (patch, patch), width=width, room=self.conditioner.length, **sizes
        )

    def forward(self, z: Tensor, t: Tensor, conditions: ConditionBatch) -> Tensor:
        """z_t (n, c, h, w), t (n,) and the conditions of n rows → x̂ (n, c, h, w), about [-1, 1]."""
        return self.estimate(z, t, self.conditioner(conditions))

    def estimate(self, z: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The same, of conditions that are vectors already."""
        x: Tensor = self.transformer(z, t, condition)
        return x
