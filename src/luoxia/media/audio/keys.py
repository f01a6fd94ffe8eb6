"""How sounds are read, and what compares them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Seed, Unset, Whole


class DataSettings(Config):
    """The keys of ``luoxia data``, which every recipe of sounds has, too."""

    sample_rate: Annotated[Whole | None, Unset] = Field(
        None, ge=1000, le=192_000, description="Hz that sounds are resampled to; from the data if unset"
    )
    mono: Annotated[bool | None, Unset] = Field(
        None, description="true mixes both sides into one, false keeps two; from the data if unset"
    )
    loudness: Annotated[float | None, Unset] = Field(
        -23.0,
        ge=-60,
        le=0,
        description="LUFS that each sound is brought to (BS.1770); none leaves them as they are",
    )
    pattern: Annotated[str | None, Unset] = Field(
        None, description="what file names tell, such as {label}_{speaker}_*"
    )


class CompareSettings(Config):
    """The keys of ``luoxia measure data=A against=B`` for sounds, beside these."""

    n: Whole = Field(10_000, ge=1, description="pairs of files at most")
    seed: Seed = Field(1, description="seed of the choice among more pairs")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
