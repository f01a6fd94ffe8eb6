"""How images are read, and what compares them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from luoxia.core.config import Config, Size, Unset, Whole


def is_extractor(name: str) -> bool:
    """Whether it is self, effnet-lite0 or inception:FILE."""
    kind, _, path = name.partition(":")
    return name in ("self", "effnet-lite0") or (kind == "inception" and path != "")


def _known_extractor(value: str | None) -> str | None:
    if value is not None and not is_extractor(value):
        raise ValueError("must be self, effnet-lite0 or inception:WEIGHTS_FILE")
    return value


class DataSettings(Config):
    """The keys of ``luoxia data``, which every recipe of images has, too."""

    size: Annotated[Size | None, Unset] = Field(
        None, description="pixels, 64 or 48x64; from the data if unset"
    )
    crop: Literal["center", "random", "pad"] = Field(
        "center", description="how images of other shapes are made to fit"
    )
    channels: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=4, description="1 gray, 2 gray + alpha, 3 RGB, 4 RGBA; from the data if unset"
    )
