"""Sounds, as a medium."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from luoxia.core.config import Config
from luoxia.core.errors import UsageError
from luoxia.core.html import Html
from luoxia.media.audio.keys import CompareSettings, DataSettings
from luoxia.media.base import Medium


class AudioMedium(Medium):
    """Speech, music and noises, of any format that libsndfile or FFmpeg reads."""

    name: ClassVar[str] = "audio"
    unit: ClassVar[str] = "sound"
    keys: ClassVar[type[Config]] = DataSettings

    def accepts(self, source: Any) -> bool:
        """Whether a path holds sounds, and more of them than images."""
        from luoxia.media.audio.sources import holds_sound

        return holds_sound(source)

    def describe(self, path: str | None, **settings: Any) -> dict[str, Any]:
        """What there is at a path; ``settings`` are those of ``DataSettings``."""
        from luoxia.media.audio.describe import describe

        assert path is not None
        return describe(path, DataSettings.from_settings(settings)).as_dict()

    def html(self, file: Path) -> Html:
        """A player, and a spectrogram."""
        from luoxia.media.audio.page import show

        return show(file)

    def compare(self, data: Any, against: Any, **settings: Any) -> Any:
        """Scores of sounds against those of the same names; ``settings`` are those of ``CompareSettings``."""
        from luoxia.media.audio.compare import compare

        for key, source in (("data", data), ("against", against)):
            if not isinstance(source, str | os.PathLike):
                raise UsageError(f"{key}= must be a sound or a folder of them, to be compared with sounds")
        return compare(os.fspath(data), os.fspath(against), CompareSettings.from_settings(settings))


MEDIUM = AudioMedium()
"""How sounds are read, described and compared."""
