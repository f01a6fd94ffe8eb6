"""What recipes of image synthesis share: conditions, guidance, and how a trained network is opened again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from luoxia.core.values import Unset, Whole
from luoxia.tasks.base import imported
from luoxia.tasks.shared.image_recipe import ImageRecipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_synthesis.model import Generator, Settings
    from luoxia.tasks.image_synthesis.spec import ConditionSpec
    from luoxia.tasks.record import ModelRecord


class SynthesisRecipe(ImageRecipe):
    """Images of one size under conditions, and how strongly samples follow these."""

    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "size", "condition", "out", "preset", "steps", "budget", "batch", "lr", "seed", "device",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "conditions": ("condition", "text_encoder", "text_length", "condition_dropout"),
        "samples": ("guidance", "guidance_low", "guidance_high"),
        "from a trained model": ("init", "lora", "lora_alpha"),
    }
    per_run: ClassVar[tuple[str, ...]] = ("guidance", "guidance_low", "guidance_high")

    condition: Literal["auto", "none", "class", "text", "both"] = Field(
        "auto", description="what is learned beside the images: auto is all that the data says of them"
    )
    text_encoder: str = Field(
        "words", description="words: a learned table; or the FOLDER of a BERT, which stays as it is"
    )
    text_length: Whole = Field(16, ge=1, le=512, description="words or tokens of a caption that are read")
    condition_dropout: float = Field(
        0.1, gt=0, lt=1, description="share of examples that go without each condition, for guidance"
    )
    guidance: float = Field(
        1.5, ge=0, le=100, description="of samples: 1 is none; higher follows the condition more closely"
    )
    guidance_low: float = Field(
        0.0, ge=0, le=1, description="guidance applies from this share of sampling on"
    )
    guidance_high: float = Field(1.0, ge=0, le=1, description="guidance applies up to this share of sampling")
    lora: Whole = Field(
        0, ge=0, le=2**16, description="with init: train adapters of this rank only; 0: all weights"
    )
    lora_alpha: Annotated[float | None, Unset] = Field(
        None, gt=0, description="the adapters count lora_alpha / lora times; twice the rank if unset"
    )
    score_samples: Whole = 1000

    def stages(self) -> tuple[type[Any], ...]:
        """The parts of a run, in order: those of ``stage_names``."""
        return tuple(imported(name) for name in self.stage_names())

    def stage_names(self) -> tuple[str, ...]:
        """MODULE:CLASS of each stage, in order."""
        raise NotImplementedError(f"{type(self).__name__} must define stage_names()")

    @model_validator(mode="after")
    def _interval(self) -> Self:
        if self.guidance_low > self.guidance_high:
            raise ValueError(
                f"guidance_low={self.guidance_low:g} is above guidance_high={self.guidance_high:g}: lower it"
            )
        return self

    @model_validator(mode="after")
    def _adapters_of_a_model(self) -> Self:
        if self.init is None and (self.lora or self.lora_alpha is not None):
            raise ValueError("lora= adapts a trained model: name it as init=, or use luoxia finetune")
        if self.lora_alpha is not None and not self.lora:
            raise ValueError("lora_alpha= needs lora=, the rank of the adapters")
        return self

    @property
    def alpha(self) -> float:
        """The adapters count alpha / rank times."""
        return 2.0 * self.lora if self.lora_alpha is None else self.lora_alpha

    def fill(self, network: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
        """Give a network its weights; where adapters stand beside them, as in a checkpoint, they are merged."""
        from luoxia.nn.lora import add_lora, fold

        if any(key.endswith(".base.weight") for key in weights):
            add_lora(network, self.lora, self.alpha)
        network.load_state_dict(weights)
        fold(network)

    def defaults(self) -> Settings:
        """How samples are drawn where nothing else is asked for."""
        from luoxia.tasks.image_synthesis.model import Settings

        return Settings(guidance=self.guidance, interval=(self.guidance_low, self.guidance_high))

    def open_generator(
        self,
        record: ModelRecord,
        weights: dict[str, torch.Tensor],
        spec: ImageSpec,
        conditions: ConditionSpec,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Generator:
        """What draws images with the ``weights`` of a model folder."""
        raise NotImplementedError(f"{type(self).__name__} must define open_generator()")
