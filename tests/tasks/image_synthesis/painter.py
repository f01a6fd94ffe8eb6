"""The smallest recipe of image synthesis: the mean image of a condition, and some noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luoxia.core.values import Whole
from luoxia.nn.conditioning import Condition
from luoxia.tasks.image_synthesis.conditions import ConditionBatch, Conditioned
from luoxia.tasks.image_synthesis.model import Known, Settings
from luoxia.tasks.image_synthesis.networks.conditioner import ImageConditioner
from luoxia.tasks.image_synthesis.recipes import SynthesisRecipe
from luoxia.tasks.image_synthesis.spec import ConditionSpec
from luoxia.tasks.image_synthesis.stage import SynthesisStage
from luoxia.training.objective import Objective, Phase, Rng, hashed
from luoxia.training.recipe import Average


class Means(nn.Module):
    """Conditions → images (n, c, h, w)."""

    def __init__(self, spec: ConditionSpec, shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.shape = shape
        self.conditioner = ImageConditioner(spec, width)
        self.output = nn.Linear(width, shape[0] * shape[1] * shape[2])

    def forward(self, conditions: ConditionBatch) -> Tensor:
        return self.paint(self.conditioner(conditions))

    def paint(self, condition: Condition) -> Tensor:
        vectors, mask = condition.vectors, condition.mask
        weight = torch.ones(vectors.shape[:2]) if mask is None else mask.float()
        mean = (vectors * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        images: Tensor = self.output(mean).unflatten(1, self.shape)
        return images


class Regression(Objective):
    """min ‖x − f(condition)‖²."""

    averaged = ("model",)

    def __init__(self, network: Means) -> None:
        self.networks = {"model": network}
        self.statistics = {}

    def phases(self) -> Iterator[Phase]:
        yield Phase("regression", self.losses, "model")

    def losses(self, batch: Conditioned, rng: Rng) -> dict[str, Tensor]:
        return {"mse": F.mse_loss(self.networks["model"](batch.conditions), batch.samples)}


class MeanGenerator:
    """Draws the mean image of a condition, noise of (seed, number) on it."""

    def __init__(self, network: Means, edits: bool = True) -> None:
        self.network, self.edits = network, edits

    def draw(
        self,
        conditions: ConditionBatch,
        negative: ConditionBatch | None,
        seed: int,
        numbers: Sequence[int],
        settings: Settings,
        known: Known | None,
    ) -> Tensor:
        asked = self.network(conditions)
        conditioner = self.network.conditioner
        other = conditioner.none(len(numbers)) if negative is None else conditioner(negative)
        without = self.network.paint(other)
        mean = without + settings.guidance * (asked - without)
        noise = torch.stack([Rng(hashed(seed, number)).normal(*self.network.shape) for number in numbers])
        values = mean + 0.1 * settings.temperature * noise
        return values.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


class PainterStage(SynthesisStage):
    """Its only stage."""

    name: ClassVar[str] = "painter"
    network: ClassVar[str] = "model"

    def objective(self) -> Objective:
        return Regression(Means(self.spec, self.data.spec.shape, self.recipe.width))  # type: ignore[attr-defined]

    def generator(self) -> MeanGenerator:
        return MeanGenerator(self.network_now())  # type: ignore[arg-type]


class Painter(SynthesisRecipe):
    """Mean images."""

    title: ClassVar[str] = "mean images"
    source: ClassVar[str] = "none"

    width: Whole = 16
    edits: bool = True
    steps: Whole = 100
    batch: Whole = 32
    lr: float = 2e-2
    guidance: float = 1.0
    score_samples: Whole = 64
    ema: Average = Average(half_life=200)

    def stage_names(self) -> tuple[str, ...]:
        return (f"{__name__}:PainterStage",)

    def open_generator(
        self, record: Any, weights: Any, spec: Any, conditions: Any, **common: Any
    ) -> MeanGenerator:
        network = Means(conditions, spec.shape, self.width)
        network.load_state_dict(weights)
        return MeanGenerator(network.to(common["device"]).eval().requires_grad_(False), self.edits)
