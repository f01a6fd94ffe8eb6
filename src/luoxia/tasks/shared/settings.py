"""Keys that verbs of several tasks share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from luoxia.core.config import Config
from luoxia.core.values import Place, Seed, Unset, Whole

USE = Field(None, description="FILE.py of a recipe of your own")
INLINE: Any = Field(
    "none", alias="label.inline", description="end: also write the label as the last line of a text file"
)


def _class_name(value: Any) -> Any:
    if value == "":
        raise ValueError("is empty: give a class, by name or number")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ClassName = BeforeValidator(_class_name)
"""A class by name or number. The word none resets it only where no class has that name, which the model knows."""


class MeasureSettings(Config):
    """The keys of ``luoxia measure`` for a task whose scores need no extractor."""

    data: Annotated[str | None, Place] = Field(None, description="other data to measure a run on")
    n: Annotated[Whole | None, Unset] = Field(None, ge=2, description="at most so many samples or examples")
    seed: Annotated[Seed | None, Unset] = Field(
        None,
        description="seed of the samples and subsets; if unset, that of the training's final scores",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE


class PairMeasureSettings(MeasureSettings):
    """The keys of ``luoxia measure`` for what learned from two sides."""

    against: Annotated[str | None, Place] = Field(None, description="the counterpart of data=")
