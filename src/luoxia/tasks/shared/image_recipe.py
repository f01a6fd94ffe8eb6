"""What recipes of images share: the data and its scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from luoxia.core.values import Place, Whole
from luoxia.media.image.keys import DataSettings, is_extractor
from luoxia.training.recipe import Recipe

if TYPE_CHECKING:
    from luoxia.media.image.images import ImageSpec


class ImageRecipe(DataSettings, Recipe):
    """Images of one size, some of them held out, and scores on an extractor's features."""

    main_keys: ClassVar[tuple[str, ...]] = (
        "data", "size", "out", "preset", "steps", "budget", "batch", "lr", "seed", "device",
    )  # fmt: skip
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data": ("size", "crop", "channels", "holdout"),
        "scores": ("extractor", "score_samples"),
    }
    per_run: ClassVar[tuple[str, ...]] = ("crop", "holdout", "extractor", "score_samples")

    data: Annotated[str | None, Place] = Field(
        None, description="images to learn from; the 5,000 embedded digits if unset"
    )
    holdout: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="share of the images kept from training, to notice overfitting (at most 1,000)",
    )
    extractor: str = Field(
        "self", description="features of the scores: self, effnet-lite0, inception:FILE, none"
    )
    score_samples: Whole = Field(5000, ge=2, description="samples for the final scores")

    def settled(self, data: ImageSpec) -> dict[str, Any]:
        """Settings that follow from the data where they were not given."""
        return {}

    @field_validator("extractor")
    @classmethod
    def _known_extractor(cls, value: str) -> str:
        if value != "none" and not is_extractor(value):
            raise ValueError("must be self, effnet-lite0, inception:WEIGHTS_FILE or none")
        return value
