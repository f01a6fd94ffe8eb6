"""The keys of measuring for tasks whose samples are images."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from luoxia.core.values import Unset
from luoxia.media.image.keys import known_extractor
from luoxia.tasks.shared.settings import MeasureSettings, PairMeasureSettings


class ImageMeasureSettings(MeasureSettings):
    """The keys of ``luoxia measure`` for a generator of images."""

    extractor: Annotated[str | None, AfterValidator(known_extractor), Unset] = Field(
        None, description="self, effnet-lite0 or inception:FILE"
    )


class TwoSidedMeasureSettings(PairMeasureSettings, ImageMeasureSettings):
    """The keys of ``luoxia measure`` for a translator of images."""
