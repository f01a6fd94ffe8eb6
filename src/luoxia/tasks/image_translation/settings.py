"""The keys of translate for images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Place, Unset, Whole
from luoxia.tasks.shared.settings import USE


class TranslateImageSettings(Config):
    """The keys of ``luoxia translate`` for a translator of images."""

    direction: Literal["a2b", "b2a"] = Field("a2b", description="from side A to B, or back")
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.png for one image; FOLDER/ for a folder or zip, keeping the names"
    )
    tile: Whole = Field(
        1024,
        ge=64,
        le=65_536,
        description="side in pixels; larger images are translated in tiles of this size",
    )
    ema: bool = Field(True, description="use the averaged weights; false: those of the last step")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16 is faster if the hardware supports it"
    )
    overwrite: bool = Field(False, description="replace what Luoxia wrote at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class TranslatorExportSettings(Config):
    """The keys of ``luoxia export`` for an image translator."""

    format: Annotated[Literal["onnx"] | None, Unset] = Field(None, description="onnx")
    direction: Literal["a2b", "b2a"] = Field("a2b", description="the direction to export")
    out: Annotated[str | None, Place] = Field(None, description="FILE.onnx; it must not exist yet")
    use: Annotated[str | None, Unset] = USE
