"""Text, as a medium."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from luoxia.core.errors import UsageError
from luoxia.core.html import Html
from luoxia.media.base import Medium


class TextMedium(Medium):
    """Plain text, rows of tables, JSON lines and chats."""

    name: ClassVar[str] = "text"
    unit: ClassVar[str] = "text"

    def accepts(self, source: Any) -> bool:
        """Whether text lies at a path."""
        if not isinstance(source, str | os.PathLike):
            return False
        from luoxia.media.text.describe import holds_text

        return holds_text(os.fspath(source))

    def describe(self, path: str | None, **settings: Any) -> dict[str, Any]:
        """What there is at a path."""
        from luoxia.media.text.describe import describe_text

        for key in settings:
            raise UsageError(f"{key}= is for images or sounds, and {path} holds text")
        assert path is not None
        return describe_text(path).as_dict()

    def html(self, file: Path) -> Html:
        """The beginning of the text, as it is."""
        from luoxia.runs.reported import preformatted

        return preformatted(file)


MEDIUM = TextMedium()
