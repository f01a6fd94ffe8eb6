"""The keys of the verbs that draw and edit images under conditions."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from luoxia.core.config import Config
from luoxia.core.values import Place, Seed, Several, Unset, Whole
from luoxia.tasks.shared.settings import USE, ClassName


class RequestSettings(Config):
    """What is asked for, and how it is drawn."""

    text: Annotated[str | None, Unset] = Field(None, description='what is to be seen, such as "a red heart"')
    label: Annotated[str | None, ClassName] = Field(
        None, description="a class by name or number; all in turn if neither it nor a text is given"
    )
    negative: Annotated[str | None, Unset] = Field(
        None, description="what is not to be seen: guidance leads away from it"
    )
    guidance: Annotated[float | None, Unset] = Field(
        None,
        ge=0,
        le=100,
        description="1 is none; higher follows the condition more closely; as trained if unset",
    )
    guidance_low: Annotated[float | None, Unset] = Field(
        None, ge=0, le=1, description="guidance applies from this share of sampling on"
    )
    guidance_high: Annotated[float | None, Unset] = Field(
        None, ge=0, le=1, description="guidance applies up to this share of sampling"
    )
    steps: Annotated[Whole | None, Unset] = Field(
        None,
        ge=1,
        le=10_000,
        description="steps of sampling, where the model takes some; as trained if unset",
    )
    temperature: float = Field(1.0, gt=0, le=100, description="lower is more typical, less varied")
    top_k: Whole = Field(0, ge=0, description="draw from the k likeliest codes; 0: from all")
    top_p: float = Field(1.0, gt=0, le=1, description="draw from the likeliest codes that make up this share")
    seed: Seed = Field(0, description="image i is a function of (seed, i)")
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class SynthesisSampleSettings(RequestSettings):
    """The keys of ``luoxia sample`` for an image synthesizer; its fields, such as style, are keys, too."""

    main_keys: ClassVar[tuple[str, ...]] = (
        "text", "label", "negative", "guidance", "n", "seed", "steps", "columns", "out", "overwrite", "device",
    )  # fmt: skip

    n: Whole = Field(16, ge=1, le=1_000_000, description="images")
    columns: Annotated[Whole | None, Unset] = Field(None, ge=1, description="columns of the grid")
    out: Annotated[str | None, Place] = Field(None, description="FILE.png, FILE.npz or FOLDER/")


Margin = Annotated[int, Field(ge=0, le=4096)]


class EditSettings(RequestSettings):
    """The keys of ``luoxia edit`` for an image synthesizer; its fields, such as style, are keys, too."""

    main_keys: ClassVar[tuple[str, ...]] = (
        "mask", "text", "label", "strength", "outpaint", "guidance", "n", "seed", "out", "overwrite", "device",
    )  # fmt: skip

    mask: Annotated[str | None, Place] = Field(
        None,
        description="a picture of the same size: white or transparent is painted, black stays; all if unset",
    )
    strength: float = Field(
        1.0, gt=0, le=1, description="how much of what is painted may change: below 1 it is a variation"
    )
    outpaint: Annotated[tuple[Margin, ...], Several] = Field(
        (), description="pixels added around and painted: 16, or left,top,right,bottom"
    )
    n: Whole = Field(1, ge=1, le=100_000, description="images")
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.png, FILE.npz or FOLDER/; RUN/generated/ if unset"
    )

    @field_validator("outpaint")
    @classmethod
    def _sides(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) not in (0, 1, 4):
            raise ValueError("must be one number, or four: left,top,right,bottom")
        return value


RESERVED = frozenset(
    name for kind in (SynthesisSampleSettings, EditSettings) for name in kind.model_fields
) | frozenset(("data", "against", "condition", "file_name", "image"))
"""Names that a field of the data cannot have: they are keys."""
DRAWING = ("guidance", "guidance_low", "guidance_high", "steps", "temperature", "top_k", "top_p")
"""Keys that say how images are drawn."""
