"""The keys of the verbs that codecs of images know."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Place, Size, Unset
from luoxia.tasks.shared.image_keys import ImageMeasureSettings
from luoxia.tasks.shared.settings import USE


class CodecMeasureSettings(ImageMeasureSettings):
    """The keys of ``luoxia measure`` for a codec of images."""


class EncodeSettings(Config):
    """The keys of ``luoxia encode`` for a codec of images."""

    out: Annotated[str | None, Place] = Field(
        None, description="FILE.npz, all tokens in one, or FOLDER/ with a .tok an image"
    )
    size: Annotated[Size | Literal["own"] | None, Unset] = Field(
        None, description="pixels, 64 or 48x64; own: each image's own; those it was trained on if unset"
    )
    crop: Literal["center", "random", "pad"] = Field(
        "center", description="how images of other shapes are made to fit"
    )
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class DecodeSettings(Config):
    """The keys of ``luoxia decode`` for a codec of images."""

    out: Annotated[str | None, Place] = Field(
        None, description="FOLDER/: a PNG for each image that was encoded"
    )
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE
