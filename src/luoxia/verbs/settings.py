"""The keys of verbs that need no task."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Bytes, Unset


class LoadSettings(Config):
    """What ``luoxia.load`` takes beside a path."""

    ema: bool = Field(True, description="use the averaged weights; false: those of the last step")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")


class PlanSettings(Config):
    """What ``--dry-run`` takes beside the keys of a recipe."""

    plan: Literal["estimated", "measured"] = Field(
        "estimated", description="measured: memory and time by a few real steps"
    )


class CacheSettings(Config):
    """The keys of ``luoxia cache``."""

    limit: Annotated[Bytes | None, Unset] = Field(
        None, ge=0, description="remove the least recently used entries until the rest fits, such as 20G"
    )
