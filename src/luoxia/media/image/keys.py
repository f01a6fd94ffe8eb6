"""How images are read, and what compares them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from luoxia.core.config import Config
from luoxia.core.values import Seed, Size, Unset, Whole


def is_extractor(name: str) -> bool:
    """Whether it is self, effnet-lite0 or inception:FILE."""
    kind, _, path = name.partition(":")
    return name in ("self", "effnet-lite0") or (kind == "inception" and path != "")


def known_extractor(value: str | None) -> str | None:
    """``ValueError`` for what is not the name of an extractor."""
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


class CompareSettings(Config):
    """The keys of ``luoxia measure data=A against=B``, beside these."""

    extractor: Annotated[str, AfterValidator(known_extractor)] = Field(
        "self", description="self, effnet-lite0 or inception:FILE"
    )
    n: Whole = Field(10_000, ge=2, description="images a side, at most")
    seed: Seed = Field(1, description="seed of every subset")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
