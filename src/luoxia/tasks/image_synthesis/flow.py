"""Flow matching in pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from luoxia.core.values import Unset, Whole
from luoxia.tasks.image_synthesis.recipes import SynthesisRecipe
from luoxia.training.recipe import Average, Optimizer, Presets, Schedule

if TYPE_CHECKING:
    import torch

    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_synthesis.flow_generator import FlowGenerator
    from luoxia.tasks.image_synthesis.model import Settings
    from luoxia.tasks.image_synthesis.networks.flow import ImageFlow
    from luoxia.tasks.image_synthesis.spec import ConditionSpec
    from luoxia.tasks.record import ModelRecord

TOKENS = 64
"""Patches, about, that an image is cut into."""
LARGEST = 64
"""Pixels of an image's longer side: what a Transformer on plain patches is for."""


class Flow(SynthesisRecipe):
    """From noise to pixels, without a codec: a Transformer on plain patches estimates the image, the loss is on v."""

    name: ClassVar[str] = "flow"
    title: ClassVar[str] = "flow matching in pixels"
    source: ClassVar[str] = "Li & He 2025, arXiv:2511.13720; Lipman et al. 2023, arXiv:2210.02747"
    presets: ClassVar[Presets] = {
        "tiny": {"width": 128, "layers": 4},
        "small": {"width": 192, "layers": 6},
        "base": {"width": 384, "layers": 12, "heads": 6, "lr": 0.01},
    }
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "network": ("width", "layers", "heads", "patch", "bottleneck", "dropout"),
        "objective": ("t_mean", "t_spread"),
        "samples": ("sample_steps", "solver"),
    }
    per_run: ClassVar[tuple[str, ...]] = (*SynthesisRecipe.per_run, "sample_steps", "solver")

    width: Whole = Field(192, ge=8, le=8192, description="width of the Transformer")
    layers: Whole = Field(6, ge=1, le=1024, description="its layers")
    heads: Whole = Field(4, ge=1, description="heads of attention, a divisor of width")
    patch: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=64, description="pixels of a patch's side; if unset, as give about 64 patches"
    )
    bottleneck: Whole = Field(
        128, ge=1, le=8192, description="numbers that a patch passes through before it has the full width"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of each sub-layer")
    t_mean: float = Field(
        -0.8, ge=-10, le=10, description="mean of logit t in training: lower is nearer to noise"
    )
    t_spread: float = Field(1.2, gt=0, le=10, description="standard deviation of logit t")
    sample_steps: Whole = Field(
        13, ge=1, le=10_000, description="steps of sampling, if steps= of luoxia sample is unset"
    )
    solver: Literal["euler", "heun"] = Field(
        "heun", description="of samples: heun asks the network twice a step, euler once"
    )
    guidance_low: float = Field(
        0.1, ge=0, le=1, description="guidance applies from this share of sampling on"
    )
    batch: Whole = 32
    steps: Whole = 3000
    sample_every: Whole = 1000
    lr: float = 0.02
    optimizer: Optimizer = Optimizer(name="muon", adam_lr=4e-3, betas=(0.9, 0.95))
    schedule: Schedule = Schedule(name="linear", warmup=20, final=0.05)
    ema: Average = Average(half_life=3000, warmup_share=0.1)

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width={self.width} is not a multiple of twice heads={self.heads}: change one of them"
            )
        return self

    def stage_names(self) -> tuple[str, ...]:
        """One."""
        return ("luoxia.tasks.image_synthesis.flow_stage:FlowStage",)

    def settled(self, data: ImageSpec) -> dict[str, Any]:
        """The size of a patch where it is unset."""
        from luoxia.core.errors import UsageError

        if max(data.height, data.width) > LARGEST:
            raise UsageError(
                f"flow draws images of up to {LARGEST} pixels, not {data.width} × {data.height}: "
                f"set size={LARGEST} or train image-gpt"
            )
        patch = max(1, round(math.sqrt(data.height * data.width / TOKENS)))
        return {**super().settled(data), **({"patch": patch} if self.patch is None else {})}

    def defaults(self) -> Settings:
        """How samples are drawn where nothing else is asked for."""
        from dataclasses import replace

        return replace(super().defaults(), steps=self.sample_steps)

    def network(self, data: ImageSpec, conditions: ConditionSpec) -> ImageFlow:
        """x̂(z_t, t, conditions)."""
        from luoxia.tasks.image_synthesis.networks.flow import ImageFlow

        return ImageFlow(
            data.shape,
            conditions,
            condition_dropout=self.condition_dropout,
            patch=self.patch or self.settled(data)["patch"],
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            bottleneck=self.bottleneck,
            dropout=self.dropout,
        )

    def open_generator(
        self,
        record: ModelRecord,
        weights: dict[str, torch.Tensor],
        spec: ImageSpec,
        conditions: ConditionSpec,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> FlowGenerator:
        """What draws images with the ``weights`` of a model folder."""
        from luoxia.tasks.image_synthesis.flow_generator import FlowGenerator

        network = self.network(spec, conditions)
        self.fill(network, weights)
        return FlowGenerator(network.to(device), self.solver, self.t_mean, self.t_spread, dtype)
