"""Images, as a medium."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from luoxia.core.config import Config
from luoxia.core.errors import LuoxiaError
from luoxia.core.html import Html
from luoxia.media.base import Medium
from luoxia.media.image.keys import CompareSettings, DataSettings


class ImageMedium(Medium):
    """Images of any framework and any format that Pillow reads."""

    name: ClassVar[str] = "image"
    unit: ClassVar[str] = "image"
    keys: ClassVar[type[Config]] = DataSettings

    def accepts(self, source: Any) -> bool:
        """Whatever no other medium reads; without a source, the embedded digits."""
        return True

    def describe(self, path: str | None, **settings: Any) -> dict[str, Any]:
        """What there is at a path; ``settings`` are those of ``DataSettings``."""
        from luoxia.media.image.describe import describe

        chosen: DataSettings = DataSettings.from_settings(settings)
        return describe(path, chosen.size, chosen.crop, chosen.channels).as_dict()

    def html(self, file: Path) -> Html:
        """The image itself, made smaller where it is large."""
        from luoxia.media.image.page import embed

        picture = embed(file, 1024, 300_000)
        if picture is None:
            raise LuoxiaError(f"{file} is not a PNG that can be shown")
        return Html(f"<figure>{picture.html(file.name)}</figure>")

    def compare(self, data: Any, against: Any, **settings: Any) -> Any:
        """Scores of images against others; ``settings`` are those of ``CompareSettings``."""
        from luoxia.media.image.compare import compare

        chosen: CompareSettings = CompareSettings.from_settings(settings)
        return compare(_source(data), _source(against), chosen)


def _source(source: Any) -> Any:
    """A path as text; images as they are."""
    return os.fspath(source) if isinstance(source, os.PathLike) else source


MEDIUM = ImageMedium()
