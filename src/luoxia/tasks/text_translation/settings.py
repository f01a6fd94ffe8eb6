"""The keys of translate for text."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Place, Unset, Whole
from luoxia.tasks.shared.settings import INLINE, USE


class TranslateSettings(Config):
    """The keys of ``luoxia translate`` for a translator of text."""

    out: Annotated[str | None, Place] = Field(None, description="a file; the terminal if unset")
    field: Annotated[str | None, Unset] = Field(
        None, description="field to read from a .json, .jsonl, .csv or .tsv; text if unset"
    )
    beams: Whole = Field(5, ge=1, le=64, description="beam size; 1 is greedy")
    alpha: float = Field(0.6, ge=0, description="exponent of the length penalty; 0: none")
    max_tokens: Whole = Field(128, ge=1, description="maximum tokens of a translation")
    label_inline: Literal["none", "end"] = INLINE
    overwrite: bool = Field(False, description="replace what Luoxia wrote at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE
