"""The keys of embed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from luoxia.core.config import Place
from luoxia.tasks.text_classification.settings import ClassifySettings


class EmbedSettings(ClassifySettings):
    """The keys of ``luoxia embed``."""

    out: Annotated[str | None, Place] = Field(None, description="FILE.npy, or FILE.npz with the texts in it")
    against: Annotated[str | None, Place] = Field(
        None, description="a text, or a file of as many: prints cosines"
    )
