"""The calls behind ``sample``, ``measure`` and ``data``: typed settings around the Python API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from luoxia.config import Config, Size, Unset, Whole
from luoxia.errors import UsageError


class SampleSettings(Config):
    """The keys of ``luoxia sample``."""

    n: Whole = Field(
        16, ge=1, le=1_000_000, description="images; with interpolate, the latents walked through"
    )
    seed: Whole = Field(0, ge=0, lt=2**63, description="image i is a function of (seed, i)")
    label: Annotated[str | None, Unset] = Field(
        None, description="a class by name or number; all in turn if unset"
    )
    truncation: float = Field(1.0, gt=0, le=1, description="scale of z: lower is more typical, less varied")
    ema: bool = Field(True, description="the averaged weights, or those of the last step")
    interpolate: Whole = Field(0, ge=0, le=1000, description="frames between two latents; makes a GIF")
    columns: Annotated[Whole | None, Unset] = Field(None, ge=1, description="columns of the grid")
    out: Annotated[str | None, Unset] = Field(None, description="FILE.png, FILE.gif, FILE.npz or FOLDER/")
    overwrite: bool = Field(False, description="replace what is at out")
    device: str = Field("cpu", description="auto, cpu, cuda, mps")


class MeasureSettings(Config):
    """The keys of ``luoxia measure``."""

    data: Annotated[str | None, Unset] = Field(
        None, description="other data to measure a run against; or the images to measure"
    )
    against: Annotated[str | None, Unset] = Field(
        None, description="the reference images, when no run is given"
    )
    extractor: Annotated[str | None, Unset] = Field(None, description="self, effnet-lite0 or inception:FILE")
    n: Annotated[Whole | None, Unset] = Field(
        None, ge=2, description="samples of the run, or images a side at most"
    )
    seed: Annotated[Whole | None, Unset] = Field(
        None,
        ge=0,
        lt=2**63,
        description="seed of the samples and of every subset; as after training if unset",
    )


class DataSettings(Config):
    """The keys of ``luoxia data``."""

    size: Annotated[Size | None, Unset] = Field(
        None, description="pixels, 64 or 48x64; from the data if unset"
    )
    crop: Literal["center", "random", "pad"] = Field(
        "center", description="how images of other shapes are made to fit"
    )
    channels: Annotated[Whole | None, Unset] = Field(
        None, ge=1, le=4, description="1 grey, 2 grey + alpha, 3 RGB, 4 RGBA; from the data if unset"
    )


def sample(run: str, /, **settings: Any) -> Path:
    """Write samples of a run and return where; ``settings`` are those of ``SampleSettings``."""
    chosen: SampleSettings = SampleSettings.from_settings(settings)
    from luoxia import api
    from luoxia.provenance import images as writer

    out = _output(run, chosen)
    generator = api.load(run, ema=chosen.ema, device=chosen.device)
    controls: dict[str, Any] = {"label": chosen.label, "truncation": chosen.truncation}
    parameters = {**generator.details, "seed": chosen.seed, **controls, "ema": chosen.ema}
    if chosen.interpolate:
        frames = generator.interpolate(chosen.n, chosen.interpolate, chosen.seed, **controls)
        return writer.write_gif(out, frames, {**parameters, "interpolate": chosen.interpolate, "n": chosen.n})
    images = generator.sample(chosen.n, chosen.seed, **controls)
    kind = _kind(out, chosen)
    if kind == ".npz":
        labels = generator.labels(chosen.n, chosen.label)
        return writer.write_npz(out, images, None if labels is None else labels.numpy(), parameters)
    if kind == ".png":
        return writer.write_grid(out, images, {**parameters, "n": chosen.n}, chosen.columns)
    return writer.write_folder(out, images, ({**parameters, "index": i} for i in range(chosen.n)))


def measure(run: str | None, /, **settings: Any) -> Any:
    """Score a run, or two sources of images; ``settings`` are those of ``MeasureSettings``."""
    chosen = MeasureSettings.from_settings(settings)
    from luoxia import api

    return api.measure(run, **chosen.model_dump())


def describe_data(path: str | None, /, **settings: Any) -> dict[str, Any]:
    """What would be read from ``path``; ``settings`` are those of ``DataSettings``."""
    chosen = DataSettings.from_settings(settings)
    from luoxia.data import describe

    size = None if chosen.size is None else "x".join(map(str, chosen.size))
    return describe(path, size, chosen.crop, chosen.channels).as_dict()


def _kind(out: Path, chosen: SampleSettings) -> str:
    """The ending that decides the format, "" for a folder, which may have a dot in its name: v1.2/."""
    return "" if out.is_dir() or (chosen.out or "").endswith(("/", os.sep)) else out.suffix.lower()


def _output(run: str, chosen: SampleSettings) -> Path:
    """Where to write, checked before work starts."""
    if chosen.out is None:
        suffix = ".gif" if chosen.interpolate else ".png"
        folder, number = Path(run) / "generated", 1
        while (folder / f"{number:03d}{suffix}").exists():
            number += 1
        return folder / f"{number:03d}{suffix}"
    out = Path(chosen.out)
    wanted = (".gif",) if chosen.interpolate else (".png", ".npz", "")
    if _kind(out, chosen) not in wanted:
        raise UsageError(
            f"out={chosen.out}: must be {'FILE.gif' if chosen.interpolate else 'FILE.png, FILE.npz or FOLDER/'}"
        )
    occupied = any(out.iterdir()) if out.is_dir() else out.exists()
    if occupied and not chosen.overwrite:
        raise UsageError(f"out={chosen.out} is there already; choose another, or add overwrite=true")
    return out
