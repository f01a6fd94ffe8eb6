"""The keys of embed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from luoxia.core.config import Config
from luoxia.core.values import Place, Unset
from luoxia.tasks.shared.settings import USE


class EmbedSettings(Config):
    """The keys of ``luoxia embed``."""

    out: Annotated[str | None, Place] = Field(None, description="FILE.npy, or FILE.npz with the texts in it")
    against: Annotated[str | None, Place] = Field(
        None, description="a text, or a file with as many texts; prints cosine similarities"
    )
    text: Annotated[str | None, Unset] = Field(
        None, description="field to read from a .json, .jsonl, .csv or .tsv; text if unset"
    )
    overwrite: bool = Field(False, description="replace what Luoxia wrote at out")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    use: Annotated[str | None, Unset] = USE
