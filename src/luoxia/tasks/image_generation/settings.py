"""The keys of the verbs that generate images and explore latents."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Place, Seed, Several, Unset, Whole
from luoxia.tasks.shared.settings import USE, ClassName


class SampleSettings(Config):
    """The keys of ``luoxia sample`` for an image generator."""

    main_keys: ClassVar[tuple[str, ...]] = (
        "n", "seed", "label", "truncation", "columns", "noise", "ema", "out", "overwrite", "device",
    )  # fmt: skip

    n: Whole = Field(16, ge=1, le=1_000_000, description="how many images")
    seed: Seed = Field(0, description="image i depends on seed and i alone")
    label: Annotated[str | None, ClassName] = Field(
        None, description="class, by name or number; if unset, all in turn"
    )
    truncation: float = Field(
        1.0,
        gt=0,
        le=1,
        description="scale of z, or of w around its mean: lower is more typical and less varied",
    )
    mix: Annotated[Seed | None, Unset] = Field(
        None, description="with styles: another seed, whose style some layers take"
    )
    mix_layers: Annotated[str | None, Unset] = Field(
        None, description="with mix: these layers, such as 4-7, 4- or 5; the second half if unset"
    )
    noise: Literal["const", "random", "none"] = Field(
        "const",
        description="generators with styles: the same noise in every image, noise drawn by the seed, or none",
    )
    ema: bool = Field(True, description="use the averaged weights; false: those of the last step")
    direction: Annotated[Whole | None, Unset] = Field(
        None, ge=0, description="move along this direction of luoxia directions, the first is 0"
    )
    strength: float = Field(3.0, description="how far along direction, in standard deviations of the latents")
    interpolate: Whole = Field(0, ge=0, le=1000, description="frames between two latents; makes a GIF")
    columns: Annotated[Whole | None, Unset] = Field(None, ge=1, description="columns of the grid")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16 is faster if the hardware supports it"
    )
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.png, FILE.npz or FOLDER/; RUN/generated/ if unset"
    )
    overwrite: bool = Field(False, description="replace what Luoxia wrote at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class LatentSettings(Config):
    """What the tools for latents share."""

    label: Annotated[str | None, ClassName] = Field(
        None, description="class, by name or number; the first if unset"
    )
    ema: bool = Field(True, description="use the averaged weights; false: those of the last step")
    out: Annotated[str | None, Place] = Field(None, description="a file; RUN/generated/001… if unset")
    overwrite: bool = Field(False, description="replace what Luoxia wrote at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class DrawnSettings(LatentSettings):
    """What those that draw latents share."""

    truncation: float = Field(1.0, gt=0, le=1, description="lower is more typical, less varied")


Seeds = Annotated[tuple[Seed, ...], Several]


class InterpolateSettings(DrawnSettings):
    """The keys of ``luoxia interpolate``."""

    seeds: Seeds = Field(
        (), description="seeds of the latents, joined by commas; 0 to 7 if neither these nor latents are set"
    )
    latents: Annotated[tuple[str, ...], Several] = Field(
        (), description="files written by luoxia project, joined by commas; they come before the seeds"
    )
    frames: Whole = Field(24, ge=1, le=1000, description="frames from one latent to the next")
    fps: float = Field(24.0, gt=0, le=240, description="frames per second")
    closed: bool = Field(True, description="return to the first latent, so that the walk loops")
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.mp4 or FILE.gif; RUN/generated/ if unset"
    )


class MixSettings(DrawnSettings):
    """The keys of ``luoxia mix``."""

    rows: Seeds = Field((1, 2, 3), min_length=1, description="seeds of the first column, joined by commas")
    columns: Seeds = Field((4, 5, 6), min_length=1, description="seeds of the first row, joined by commas")
    layers: str = Field(
        "coarse",
        description="layers that take the column's style: coarse, middle, fine, or numbers such as 0-3,6",
    )
    out: Annotated[str | None, Place] = Field(None, description="FILE.png; RUN/generated/ if unset")


class DirectionsSettings(DrawnSettings):
    """The keys of ``luoxia directions``."""

    n: Annotated[Whole | None, Unset] = Field(
        None,
        ge=1,
        le=1_000_000,
        description="how many directions, up to the dimensions of the latent (8 if unset); with direction, how many "
        "images (16 if unset)",
    )
    direction: Annotated[Whole | None, Unset] = Field(
        None, ge=0, description="write images moved along this direction; the first is 0"
    )
    seed: Seed = Field(
        0,
        description="seed of the image that the picture moves along each direction; with direction, of the images",
    )
    strength: float = Field(
        3.0,
        description="how far to move, in standard deviations of the latents; the picture moves either way",
    )
    out: Annotated[str | None, Place] = Field(
        None,
        description="FILE.npz, with a picture beside it; with direction, FILE.png, FILE.npz or FOLDER/; RUN/generated/ "
        "if unset",
    )


class ProjectSettings(LatentSettings):
    """The keys of ``luoxia project``."""

    label: Annotated[str | None, ClassName] = Field(
        None, description="class, by name or number; the likeliest if unset"
    )
    steps: Whole = Field(300, ge=1, le=100_000, description="steps of the search")
    seed: Seed = Field(0, description="seed of the starting point")
    extractor: Annotated[Literal["effnet-lite0", "self", "pixels"] | None, Unset] = Field(
        None,
        description="what compares images: effnet-lite0, self or pixels; if unset, the first that is installed",
    )
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.npz, with a picture beside it; RUN/generated/ if unset"
    )


class GeneratorExportSettings(Config):
    """The keys of ``luoxia export`` for an image generator."""

    format: Annotated[Literal["onnx", "tensorflow"] | None, Unset] = Field(
        None, description="onnx (a file, the default) or tensorflow (a SavedModel folder)"
    )
    out: Annotated[str | None, Place] = Field(
        None, description="FILE.onnx, or a folder for tensorflow; it must not exist yet"
    )
    use: Annotated[str | None, Unset] = USE
